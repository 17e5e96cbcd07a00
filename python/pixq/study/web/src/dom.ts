/** Elements of a page, without markup in strings. */

type Attributes = Record<string, string | number | boolean | EventListener>;

/** An element; attributes that are functions listen, `true` is an empty attribute, `false` none. */
export function el<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false) made.setAttribute(key, String(value));
  }
  made.append(...children);
  return made;
}

/** A button that does something. */
export function button(text: string, action: () => void, main = false): HTMLButtonElement {
  return el("button", { type: "button", ...(main ? { class: "main" } : {}), click: action }, text);
}

/** Elements of a page, without markup in strings. */

type Attributes = Record<string, string | number | boolean | EventListener>;

/** Creates an element. Functions become event listeners, `true` an empty attribute, `false` none. */
export function el<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false) element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

/** Creates a button with an action. */
export function button(text: string, action: () => void, main = false): HTMLButtonElement {
  return el("button", { type: "button", ...(main ? { class: "main" } : {}), click: action }, text);
}

/** A landscape for the instructions, drawn here: it is not an image of the study, and needs no loading. */

const WIDTH = 480;
const HEIGHT = 300;

type Context = OffscreenCanvasRenderingContext2D;

function tree(context: Context, x: number, y: number, size: number, shift: number): void {
  context.fillStyle = "#5b4632";
  context.fillRect(x - size * 0.06, y - size * 0.35, size * 0.12, size * 0.35);
  for (let layer = 0; layer < 3; layer++) {
    context.fillStyle = ["#2f5d3a", "#37693f", "#437a48"][layer];
    const [top, wide] = [y - size * (0.55 + 0.25 * layer) - shift, size * (0.36 - 0.08 * layer)];
    context.beginPath();
    context.moveTo(x + shift, top - size * 0.22);
    context.lineTo(x - wide, top + size * 0.22);
    context.lineTo(x + wide, top + size * 0.22);
    context.fill();
  }
}

/** @param strength From 0, the landscape unchanged, to 1: the trees move and fade. */
function draw(context: Context, strength: number): void {
  const sky = context.createLinearGradient(0, 0, 0, HEIGHT * 0.7);
  sky.addColorStop(0, "#88b6dd");
  sky.addColorStop(1, "#e9e4d2");
  context.fillStyle = sky;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  context.fillStyle = "#fff4cf";
  context.beginPath();
  context.arc(WIDTH * 0.78, HEIGHT * 0.22, 22, 0, 7);
  context.fill();
  for (const [at, tall, color] of [[0.62, 26, "#8fa58f"], [0.7, 18, "#7a9a6e"], [0.8, 12, "#8bab62"]] as const) {
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(0, HEIGHT);
    for (let x = 0; x <= WIDTH; x += 4) context.lineTo(x, HEIGHT * at + tall * Math.sin(x / (38 + tall) + tall));
    context.lineTo(WIDTH, HEIGHT);
    context.fill();
  }
  context.globalAlpha = 1 - 0.35 * strength;
  for (const [x, y, size] of [[70, 250, 90], [150, 268, 110], [330, 240, 70], [395, 272, 105]]) {
    tree(context, x, y, size, 3 * strength);
  }
  context.globalAlpha = 1;
}

export const EXAMPLE: { width: number; height: number } = { width: WIDTH, height: HEIGHT };

/** The landscape at a strength, `across` device pixels wide. */
export function example(strength: number, across: number, down: number): ImageBitmap {
  const canvas = new OffscreenCanvas(across, down);
  const context = canvas.getContext("2d") as Context;
  context.scale(across / WIDTH, down / HEIGHT);
  draw(context, strength);
  return canvas.transferToImageBitmap();
}

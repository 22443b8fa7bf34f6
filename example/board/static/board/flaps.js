// Split flaps: a text changes by leafing through other letters.

const LEAVES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LEAF_TIME = 45;
const LEAF_COUNT = 9;

const turning = new Map();
/** Whether the reader wants no movement. */
export const still = matchMedia("(prefers-reduced-motion: reduce)");
let timer = null;

/** Show a text at once. */
export function put(cell, text) {
  turning.delete(cell);
  cell.textContent = text;
}

/** Turn the flaps of a cell to a text. */
export function turn(cell, text) {
  if (still.matches || document.hidden) return put(cell, text);
  turning.set(cell, { text, from: cell.textContent, left: LEAF_COUNT });
  timer ??= setInterval(leaf, LEAF_TIME);
}

function leaf() {
  for (const [cell, state] of turning) {
    state.left -= 1;
    if (state.left > 0) cell.textContent = between(state);
    else put(cell, state.text);
  }
  if (!turning.size) {
    clearInterval(timer);
    timer = null;
  }
}

/** Letters that stay the same stand still; the others come to rest from left to right. */
function between({ text, from, left }) {
  const length = Math.max(text.length, from.length);
  const settled = length * (1 - left / LEAF_COUNT);
  let shown = "";
  for (let place = 0; place < length; place += 1) {
    const rests = place < settled || text[place] === from[place];
    shown += rests ? (text[place] ?? " ") : LEAVES[Math.floor(Math.random() * LEAVES.length)];
  }
  return shown;
}

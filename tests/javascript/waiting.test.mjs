// Pauses.

import assert from "node:assert/strict";
import test from "node:test";

import { backOff, sleep } from "../../diffs/static/diffs/waiting.js";
import { stage } from "./stage.mjs";

const on = stage();

/** Whether a pause has ended. */
function begun(...pause) {
  const state = { isOver: false };
  sleep(...pause).then(() => (state.isOver = true));
  return state;
}

test("a pause ends when it is over", async () => {
  const pause = begun(1_000);
  await on.clock.pass(999);
  assert.ok(!pause.isOver);
  await on.clock.pass(1);
  assert.ok(pause.isOver);
});

test("a pause ends when nobody waits any more, now or already", async () => {
  const control = new AbortController();
  const pauses = [begun(1_000, { signal: control.signal }), begun(1_000, { signal: AbortSignal.abort() })];
  control.abort();
  await on.clock.pass(0);
  assert.ok(pauses.every(({ isOver }) => isOver));
});

test("a pause ends when the network is back, but not too early", async () => {
  const pause = begun(10_000, { atLeast: 3_000 });
  await on.clock.pass(1_000);
  on.page.happens("online");
  await on.clock.pass(1_999);
  assert.ok(!pause.isOver);
  await on.clock.pass(1);
  assert.ok(pause.isOver);
});

test("a pause that no timer can hold is a long one, not none", async () => {
  const pause = begun(2 ** 40);
  await on.clock.pass(86_400_000);
  assert.ok(!pause.isOver);
});

test("pauses double, up to a bound, and are between half and whole of that", () => {
  const pauses = (random) => {
    Math.random = () => random;
    return [1, 2, 3, 4, 99].map((failures) => backOff(failures, 1_000, 5_000));
  };
  assert.deepEqual(pauses(0), [500, 1_000, 2_000, 2_500, 2_500]);
  assert.deepEqual(pauses(1), [1_000, 2_000, 4_000, 5_000, 5_000]);
});

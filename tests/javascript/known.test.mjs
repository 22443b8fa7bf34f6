// What is known of diffs: each is told once, and no value after a newer one.

import assert from "node:assert/strict";
import test from "node:test";

import { Known } from "../../diffs/static/diffs/known.js";
import { diff } from "./stage.mjs";

/** What passes of diffs that come one after the other: their data, null where nothing does. */
function admitted(...diffs) {
  const known = new Known();
  return diffs.map((one) => known.admit(one)?.data ?? null);
}

const create = (number, data) => diff(number, data, { action: "create" });
const remove = (number) => diff(number, {}, { action: "delete" });

test("a diff passes once", () => {
  assert.deepEqual(admitted(diff(1), diff(1), diff(2)), [{ votes: 1 }, null, { votes: 2 }]);
});

test("P7 a value with a lower version than the known one is dropped", () => {
  assert.deepEqual(admitted(diff(2, { votes: 2 }), diff(1, { votes: 1, text: "old" })), [
    { votes: 2 },
    { text: "old" },
  ]);
});

test("P7 of a diff that only has older values nothing is told", () => {
  assert.deepEqual(admitted(diff(2), diff(1)), [{ votes: 2 }, null]);
});

test("P7 a value that was too large counts by its version, as one that is there", () => {
  const known = new Known();
  const told = (one) => {
    const { data, omitted } = known.admit(one) ?? {};
    return [data, omitted];
  };
  assert.deepEqual(told(diff(3, { a: 3 }, { omitted: ["text"] })), [{ a: 3 }, ["text"]]);
  assert.deepEqual(told(diff(2, { text: "older" })), [undefined, undefined]);
  assert.deepEqual(told(diff(1, { text: "older", b: 1 })), [{ b: 1 }, undefined]);
  assert.deepEqual(told(create(0, { text: "oldest", a: 0, c: 0 })), [{ a: 3, c: 0 }, ["text"]]);
  assert.deepEqual(told(diff(5, { text: "small" })), [{ text: "small" }, undefined]);
  assert.deepEqual(told(diff(4, {}, { omitted: ["text"] })), [undefined, undefined]);
  assert.deepEqual(told(diff(4, { d: 4 }, { id: "d", omitted: ["text", "e"] })), [{ d: 4 }, ["e"]]);
  assert.deepEqual(told(diff(2, { a: 1 }, { action: "create", id: "e" })), [{ a: 3 }, undefined]);
  const late = diff(1, { c: 1 }, { action: "create", id: "f", omitted: ["text"] });
  assert.deepEqual(told(late), [{ c: 1, text: "small" }, undefined]);
});

test("each field has its own newest version", () => {
  assert.deepEqual(admitted(diff(3, { a: 3 }), diff(1, { b: 1 }), diff(2, { a: 2, b: 2 })), [
    { a: 3 },
    { b: 1 },
    { b: 2 },
  ]);
});

test("an equal version passes: it is a fresh reading in the place of a late diff", () => {
  assert.deepEqual(admitted(diff(1), { ...diff(2, { votes: 7 }), version: 1 }), [{ votes: 1 }, { votes: 7 }]);
});

test("versions of other objects don't count", () => {
  const others = [
    { ...diff(1), pk: 2 },
    { ...diff(1), id: "a", pk: "1" },
    { ...diff(1), id: "b", model: "polls.choice" },
  ];
  assert.deepEqual(admitted(diff(2), ...others), [{ votes: 2 }, { votes: 1 }, { votes: 1 }, { votes: 1 }]);
});

test("composite primary keys are told apart by their parts", () => {
  const one = { ...diff(2), pk: ["a,b", "c"] };
  const other = { ...diff(1), pk: ["a", "b,c"] };
  assert.deepEqual(admitted(one, other), [{ votes: 2 }, { votes: 1 }]);
});

test("versions from 2^53 on are text, and compared as the numbers that they are", () => {
  const at = (number, version) => ({ ...diff(number), version });
  assert.deepEqual(
    admitted(at(1, "9007199254740993"), at(2, "9007199254740992"), at(3, 9007199254740991), at(4, "10000000000000000")),
    [{ votes: 1 }, null, null, { votes: 4 }],
  );
});

test("P7 a change that was overtaken by its object's deletion is dropped", () => {
  assert.deepEqual(admitted(remove(2), diff(1)), [{}, null]);
});

test("P7 a deletion that was overtaken by a new creation with the same key is dropped", () => {
  assert.deepEqual(admitted(create(3, { votes: 3 }), remove(2)), [{ votes: 3 }, null]);
});

test("an object may be created again after its deletion", () => {
  assert.deepEqual(admitted(diff(1), remove(2), create(3, { votes: 0 })), [{ votes: 1 }, {}, { votes: 0 }]);
});

test("P7 a creation that was overtaken by a change is told whole, with the newer value", () => {
  assert.deepEqual(admitted(diff(2, { votes: 2 }), create(1, { text: "new", votes: 0 })), [
    { votes: 2 },
    { text: "new", votes: 2 },
  ]);
});

test("data that a hook has made of something else pass as they are", () => {
  assert.deepEqual(admitted(diff(2, ["b"]), diff(1, ["a"]), diff(3, "c")), [["b"], ["a"], "c"]);
});

test("diffs are not changed", () => {
  const late = Object.freeze(diff(1, Object.freeze({ votes: 1, text: "x" })));
  admitted(diff(2), late);
  assert.deepEqual(late.data, { votes: 1, text: "x" });
});

test("memory is bounded: the oldest ids are forgotten", () => {
  const known = new Known(2);
  for (const number of [1, 2, 3]) known.admit(diff(number));
  assert.equal(known.admit(diff(2)), null);
  assert.deepEqual(known.admit({ ...diff(4), id: diff(1).id })?.data, { votes: 4 });
});

test("memory is bounded: the objects that nothing was heard of for longest are forgotten", () => {
  const known = new Known(2);
  const of = (pk, number) => known.admit({ ...diff(number), pk })?.data ?? null;
  of("one", 10);
  of("two", 11);
  of("one", 12);
  of("three", 13);
  assert.deepEqual([of("one", 1), of("two", 2)], [null, { votes: 2 }]);
});

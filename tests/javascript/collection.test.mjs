// Rows that are kept in step.

import assert from "node:assert/strict";
import test from "node:test";

import { collection } from "../../diffs/static/diffs/diffs.js";
import { diff, event, named, page, settle, stage, until } from "./stage.mjs";

const on = stage();
const FEEDS = "/diffs/?feed=@polls.question:1&feed=@polls.question:2";
const CURSORS = { "polls.question:1": "a1", "polls.question:2": "b1" };

const choice = (pk, data) => ({ model: "polls.choice", pk, data });
const about = (pk, number, data, more = {}) => diff(number, data, { model: "polls.choice", pk, ...more });
const removed = (pk, number) => about(pk, number, {}, { action: "delete" });
const created = (pk, number, data) => about(pk, number, data, { action: "create" });

/** A collection of choices of two questions; `table` holds, or gives, what the server would give. */
function collect(table, options = {}) {
  const told = { changes: [], fetched: 0, table };
  const rows = collection(on.server.url(FEEDS), {
    async snapshot() {
      told.fetched += 1;
      return { cursor: CURSORS, rows: typeof told.table === "function" ? await told.table() : told.table };
    },
    onChange: ({ renewed, keys, diffs }) => told.changes.push([renewed, [...keys], diffs.length]),
    spread: 0,
    ...options,
  });
  on.open.push(rows);
  return Object.assign(told, { rows });
}

async function live(table, options) {
  const told = collect(table, options);
  told.request = (await on.server.next()).stream("id: a1,b1\n\n");
  await until(() => told.rows.status === "live");
  told.changes.length = 0;
  return told;
}

const data = (rows) => Object.fromEntries([...rows].map(([key, row]) => [key, row.data]));
const first = (cursor, document) => event(cursor, { feed: "polls.question:1", ...document });
const second = (cursor, document) => event(cursor, { feed: "polls.question:2", ...document });

test("it begins with the snapshot, from whose cursors the diffs go on", async () => {
  const told = collect([choice(1, { votes: 3 }), choice("x", { votes: 4 })]);
  assert.equal(told.rows.size, 0);
  await told.rows.ready;
  assert.deepEqual((await on.server.next()).feeds, ["a1@polls.question:1", "b1@polls.question:2"]);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 3 }, "polls.choice:x": { votes: 4 } });
  assert.deepEqual(told.changes, [[true, ["polls.choice:1", "polls.choice:x"], 0]]);
  assert.equal(told.rows.cursor, "a1,b1");
});

test("creations, changes and deletions are done to the rows", async () => {
  const told = await live([choice(1, { text: "a", votes: 3 }), choice(2, { text: "b", votes: 4 })]);
  const before = told.rows.get("polls.choice:1");
  told.request.write(
    first("a2,b1", about(1, 2, { votes: 5 })) +
      first("a3,b1", removed(2, 3)) +
      second("a3,b2", created(3, 4, { text: "c" })),
  );
  await until(() => told.changes.length);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "a", votes: 5 }, "polls.choice:3": { text: "c" } });
  assert.deepEqual(told.changes, [[false, ["polls.choice:1", "polls.choice:2", "polls.choice:3"], 3]]);
  // Whoever has the row as it was can tell that it changed.
  assert.deepEqual(before.data, { text: "a", votes: 3 });
  assert.deepEqual(told.rows.get("polls.choice:1"), choice(1, { text: "a", votes: 5 }));
});

test("it is asked like a map", async () => {
  const { rows } = await live([choice(1, {}), choice(2, {})]);
  assert.deepEqual(
    [rows.size, rows.has("polls.choice:1"), rows.has("nothing"), rows.get("nothing")],
    [2, true, false, undefined],
  );
  assert.deepEqual([...rows.keys()], ["polls.choice:1", "polls.choice:2"]);
  assert.deepEqual([...rows.values()], [choice(1, {}), choice(2, {})]);
  assert.deepEqual([rows.status, rows.mode], ["live", "stream"]);
});

test("options that are undefined count as not given", async () => {
  const { rows } = await live([choice(1, {})], {
    key: undefined,
    models: undefined,
    keep: undefined,
    missing: undefined,
  });
  assert.deepEqual([...rows.keys()], ["polls.choice:1"]);
});

test("a key may be made of something else", async () => {
  const { rows } = await live([choice(1, {})], { key: (model, pk) => pk });
  assert.ok(rows.has(1));
});

test("rows with composite keys are told apart", async () => {
  const { rows } = await live([choice(["a,b", "c"], {}), choice(["a", "b,c"], {})]);
  assert.deepEqual([...rows.keys()], ["polls.choice:a~,b,c", "polls.choice:a,b~,c"]);
});

test("what is sent again from before the snapshot does no harm", async () => {
  const told = await live([choice(1, { text: "new", votes: 5 })]);
  told.request.write(
    first("a2,b1", created(1, 1, { text: "old", votes: 0 })) +
      first("a3,b1", about(1, 2, { text: "new" })) +
      first("a4,b1", about(1, 3, { votes: 5 })) +
      first("a5,b1", removed(7, 4)),
  );
  await until(() => told.changes.length);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "new", votes: 5 } });
});

test("other models may be left out, and their diffs are told all the same", async () => {
  const heard = [];
  const told = await live([choice(1, {})], { models: ["polls.choice"], onDiff: ({ model }) => heard.push(model) });
  told.request.write(first("a2,b1", diff(2, { votes: 1 }, { action: "create" })));
  await until(() => told.changes.length);
  assert.deepEqual([heard, told.rows.size, told.changes], [["polls.question"], 1, [[false, [], 1]]]);
});

test("a diff is told when it is in the rows", async () => {
  const heard = [];
  const told = await live([choice(1, { votes: 1 })], {
    onDiff: () => heard.push(told.rows.get("polls.choice:1").data.votes),
  });
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })));
  await until(() => heard.length);
  assert.deepEqual(heard, [2]);
});

test("P7 a value that comes late is passed over", async () => {
  const told = await live([choice(1, { votes: 0 })]);
  told.request.write(first("a2,b1", about(1, 5, { votes: 5 })) + first("a3,b1", about(1, 4, { votes: 4, text: "t" })));
  await until(() => told.rows.cursor === "a3,b1");
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 5, text: "t" } });
});

test("P7 a change that comes before its row's creation isn't lost", async () => {
  const told = await live([]);
  told.request.write(
    first("a2,b1", about(1, 5, { votes: 5 })) + first("a3,b1", created(1, 4, { votes: 4, text: "t" })),
  );
  await until(() => told.rows.cursor === "a3,b1");
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 5, text: "t" } });
  await on.clock.pass(600_000);
  assert.equal(told.fetched, 1);
});

test("a row that moved between the feeds is moved once", async () => {
  const told = await live([choice(1, { question: 1, votes: 1 })]);
  const moved = about(1, 5, { question: 2 });
  // The second feed is ahead: it tells of the move, a change and the end before the first one tells of the move.
  told.request.write(
    second("a1,b2", moved) +
      second("a1,b3", about(1, 6, { votes: 6 })) +
      first("a2,b3", moved) +
      second("a2,b4", removed(1, 7)),
  );
  await until(() => told.rows.cursor === "a2,b4");
  assert.equal(told.rows.size, 0);
});

test("what a feed tells of a row after another feed told of its end is passed over", async () => {
  const told = await live([choice(1, { question: 1 })]);
  told.request.write(second("a1,b2", removed(1, 7)) + first("a2,b2", about(1, 5, { votes: 5 })));
  await until(() => told.rows.cursor === "a2,b2");
  await on.clock.pass(600_000);
  assert.deepEqual([told.rows.size, told.fetched], [0, 1]);
});

test("a row that moves elsewhere is removed, and fetched where it comes back", async () => {
  const told = await live(
    [choice(1, { question: 1, votes: 1 }), choice(2, { question: 2 }), choice(9, { question: 9 })],
    {
      keep: (row) => row.data.question < 3,
    },
  );
  assert.deepEqual([...told.rows.keys()], ["polls.choice:1", "polls.choice:2"]);
  told.request.write(first("a2,b1", about(1, 2, { question: 9 })));
  await until(() => told.rows.size === 1);
  // Nobody has told of what became of it there.
  told.table = [choice(1, { question: 2, votes: 7 }), choice(2, { question: 2 })];
  told.request.write(second("a2,b2", about(1, 8, { question: 2 })));
  await until(() => told.rows.cursor === "a2,b2");
  assert.equal(told.rows.size, 1);
  await on.clock.pass(2_000);
  await until(() => told.rows.size === 2);
  assert.deepEqual(told.rows.get("polls.choice:1").data, { question: 2, votes: 7 });
});

test("rows that the snapshot leaves out have it fetched less and less often", async () => {
  const told = await live([]);
  const times = [];
  for (let number = 2; number < 200; number += 1) {
    told.request.write(first(`a${number},b1`, about(1, number, { votes: number })));
    await until(() => told.rows.cursor === `a${number},b1`);
    const before = told.fetched;
    await on.clock.pass(10_000);
    if (told.fetched > before) times.push(on.clock.now);
  }
  const gaps = times.slice(1).map((time, place) => (time - times[place]) / 10_000);
  assert.ok(times.length < 20, `${times.length}`);
  assert.ok(gaps.at(-1) >= 22, `${gaps}`);
});

test("of several rows that aren't there one fetching brings all", async () => {
  const told = await live([]);
  told.table = [choice(1, { votes: 2 }), choice(2, { votes: 3 })];
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })) + first("a3,b1", about(2, 3, { votes: 3 })));
  await until(() => told.rows.cursor === "a3,b1");
  await on.clock.pass(60_000);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 2 }, "polls.choice:2": { votes: 3 } });
  assert.equal(told.fetched, 2);
});

test("a fetching of such rows that fails is repeated", async () => {
  const told = await live([]);
  told.table = () => {
    told.table = [choice(1, { votes: 2 })];
    throw new Error("Away.");
  };
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })));
  await until(() => told.rows.cursor === "a2,b1");
  await on.clock.pass(20_000);
  assert.deepEqual([told.rows.size, told.fetched], [1, 3]);
  assert.deepEqual(
    on.warnings.map(({ message }) => message),
    ["Away."],
  );
});

test("a row that isn't there may be fetched alone, and what comes meanwhile is done to it", async () => {
  let give;
  const asked = [];
  const told = await live([], {
    missing: ({ pk }) => {
      asked.push(pk);
      return new Promise((done) => (give = done));
    },
  });
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })) + first("a3,b1", about(1, 3, { votes: 3 })));
  await until(() => told.rows.cursor === "a3,b1");
  assert.deepEqual([asked, told.rows.size], [[1], 0]);
  give({ text: "t", votes: 2 });
  await until(() => told.rows.size);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "t", votes: 3 } });
});

test("a row that is deleted while it is fetched stays away", async () => {
  let give;
  const told = await live([], { missing: () => new Promise((done) => (give = done)) });
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })) + first("a3,b1", removed(1, 3)));
  await until(() => told.rows.cursor === "a3,b1");
  give({ votes: 2 });
  await settle();
  assert.equal(told.rows.size, 0);
});

test("a row that nobody gives stays away until it is asked for again", async () => {
  const answers = [null, new Error("Away."), { text: "t" }];
  const told = await live([], {
    async missing() {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  for (const number of [2, 3, 4]) {
    told.request.write(first(`a${number},b1`, about(1, number, { votes: number })));
    await until(() => told.rows.cursor === `a${number},b1`);
    await settle();
    assert.equal(told.rows.size, number === 4 ? 1 : 0);
  }
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "t", votes: 4 } });
  assert.deepEqual(
    on.errors.splice(0).map(({ message }) => message),
    ["Away."],
  );
});

test("P4 a value that is too large for a diff goes at once, and comes when the rows were fetched again", async () => {
  const told = await live([choice(1, { text: "old", votes: 1 }), choice(2, { text: "b" })]);
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 }, { omitted: ["text"] })));
  await until(() => told.changes.length);
  assert.deepEqual(told.rows.get("polls.choice:1").data, { votes: 2 });
  // What comes meanwhile doesn't make it whole.
  told.request.write(first("a3,b1", about(1, 3, { votes: 3 })));
  await until(() => told.rows.cursor === "a3,b1");
  assert.deepEqual([told.rows.get("polls.choice:1").data, told.fetched], [{ votes: 3 }, 1]);
  told.table = [choice(1, { text: "large", votes: 3 }), choice(2, { text: "b" })];
  await on.clock.pass(2_000);
  assert.deepEqual(data(told.rows), {
    "polls.choice:1": { text: "large", votes: 3 },
    "polls.choice:2": { text: "b" },
  });
  await on.clock.pass(600_000);
  assert.equal(told.fetched, 2);
});

test("a value that is small again needs no fetching", async () => {
  const told = await live([choice(1, { text: "old" })]);
  told.request.write(
    first("a2,b1", about(1, 2, {}, { omitted: ["text"] })) + first("a3,b1", about(1, 3, { text: "small" })),
  );
  await until(() => told.rows.cursor === "a3,b1");
  await on.clock.pass(600_000);
  assert.deepEqual([data(told.rows), told.fetched], [{ "polls.choice:1": { text: "small" } }, 1]);
});

test("a row that is created without a large value, or deleted meanwhile", async () => {
  const told = await live([]);
  told.request.write(
    first("a2,b1", about(1, 2, { votes: 0 }, { action: "create", omitted: ["text"] })) +
      first("a3,b1", about(2, 3, { votes: 0 }, { action: "create", omitted: ["text"] })) +
      first("a4,b1", removed(2, 4)),
  );
  await until(() => told.rows.cursor === "a4,b1");
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 0 } });
  told.table = [choice(1, { text: "large", votes: 0 })];
  await on.clock.pass(600_000);
  assert.deepEqual([data(told.rows), told.fetched], [{ "polls.choice:1": { text: "large", votes: 0 } }, 2]);
});

test("a deletion leaves nothing to fetch", async () => {
  const told = await live([choice(1, { text: "old" })]);
  told.request.write(first("a2,b1", about(1, 2, {}, { omitted: ["text"] })) + first("a3,b1", removed(1, 3)));
  await until(() => told.rows.cursor === "a3,b1");
  await on.clock.pass(600_000);
  assert.deepEqual([told.rows.size, told.fetched], [0, 1]);
});

test("a row is fetched that nobody can place without its large value", async () => {
  const told = await live([choice(1, { text: "keep" })], { keep: (row) => row.data.text?.startsWith("keep") });
  told.request.write(first("a2,b1", about(1, 2, {}, { omitted: ["text"] })));
  await until(() => told.changes.length);
  told.table = [choice(1, { text: "keep, and large" })];
  await on.clock.pass(2_000);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "keep, and large" } });
});

test("a fetching of large values that fails is repeated, and less and less often", async () => {
  const told = await live([choice(1, { text: "old" })]);
  told.table = () => {
    throw new Error("Away.");
  };
  told.request.write(first("a2,b1", about(1, 2, {}, { omitted: ["text"] })));
  await until(() => told.rows.cursor === "a2,b1");
  await on.clock.pass(600_000);
  assert.deepEqual(data(told.rows), { "polls.choice:1": {} });
  assert.ok(told.fetched > 5 && told.fetched < 15, `${told.fetched}`);
  told.table = [choice(1, { text: "large" })];
  await on.clock.pass(300_000);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "large" } });
  assert.equal(on.warnings.splice(0).length, told.fetched - 2);
});

test("a large value that comes while its row is fetched alone isn't taken for what was on its way", async () => {
  let give;
  const told = await live([], { missing: () => new Promise((done) => (give = done)) });
  told.request.write(
    first("a2,b1", about(1, 2, { votes: 2 })) + first("a3,b1", about(1, 3, { votes: 3 }, { omitted: ["text"] })),
  );
  await until(() => told.rows.cursor === "a3,b1");
  give({ text: "old", votes: 2 });
  await until(() => told.rows.size);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 3 } });
  told.table = [choice(1, { text: "large", votes: 3 })];
  await on.clock.pass(2_000);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "large", votes: 3 } });
});

test("P4 a large value that comes while all rows are fetched has them fetched once more", async () => {
  const told = await live([choice(1, { text: "old" })]);
  let give;
  told.table = () => new Promise((done) => (give = done));
  const reloading = told.rows.reload();
  await until(() => give);
  told.request.write(first("a2,b1", about(1, 2, {}, { omitted: ["text"] })));
  await until(() => told.rows.cursor === "a2,b1");
  told.table = [choice(1, { text: "large" })];
  give([choice(1, { text: "old" })]);
  await reloading;
  assert.deepEqual(data(told.rows), { "polls.choice:1": {} });
  await on.clock.pass(2_000);
  assert.deepEqual(data(told.rows), { "polls.choice:1": { text: "large" } });
});

test("changes of rows that aren't there may be passed over", async () => {
  const told = await live([], { missing: "ignore" });
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })));
  await until(() => told.rows.cursor === "a2,b1");
  await on.clock.pass(600_000);
  assert.deepEqual([told.rows.size, told.fetched], [0, 1]);
});

test("P4 after a reset all rows are fetched again and change places at once", async () => {
  const seen = [];
  const told = await live([choice(1, { votes: 1 }), choice(2, { votes: 2 })]);
  told.rows.subscribe(() => seen.push(data(told.rows)));
  told.table = [choice(2, { votes: 22 }), choice(3, { votes: 33 })];
  told.request.write(
    named("reset", "a7,b1", { reason: "reset", cursor: "a7", feed: "polls.question:1" }) +
      first("a8,b1", about(3, 8, { votes: 34 })),
  );
  await settle();
  await on.clock.pass(0);
  await until(() => told.rows.cursor === "a8,b1");
  await settle();
  const expected = { "polls.choice:2": { votes: 22 }, "polls.choice:3": { votes: 34 } };
  assert.deepEqual(seen.at(-1), expected);
  // Never anything between the rows of before and those of now.
  assert.ok(
    seen.every((rows) => "polls.choice:3" in rows),
    JSON.stringify(seen),
  );
});

test("P4 resets of several feeds at the same moment have the rows fetched once", async () => {
  const told = await live([choice(1, {})], { spread: 1_000 });
  const reset = (cursor, name) => named("reset", cursor, { reason: "reset", cursor, feed: name });
  told.request.write(reset("a7,b1", "polls.question:1"));
  await settle();
  await on.clock.pass(100);
  told.request.write(reset("a7,b7", "polls.question:2") + second("a7,b8", created(4, 8, {})));
  await settle();
  await on.clock.pass(10_000);
  await until(() => told.rows.cursor === "a7,b8");
  assert.equal(told.fetched, 2);
  assert.deepEqual([...told.rows.keys()], ["polls.choice:1", "polls.choice:4"]);
});

test("P4 a reset that comes while rows are being fetched has them fetched again", async () => {
  const giving = [];
  const told = await live([choice(1, { votes: 1 })]);
  told.table = () => new Promise((done) => giving.push(done));
  const reset = (cursor) =>
    named("reset", cursor, { reason: "reset", cursor: cursor.slice(0, 2), feed: "polls.question:1" });
  told.request.write(reset("a7,b1"));
  await settle();
  await on.clock.pass(10);
  assert.equal(giving.length, 1);
  told.request.write(reset("a8,b1"));
  await settle();
  giving[0]([choice(1, { votes: 7 })]);
  await settle();
  await on.clock.pass(0);
  assert.equal(giving.length, 2);
  giving[1]([choice(1, { votes: 8 })]);
  await until(() => told.rows.cursor === "a8,b1");
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 8 } });
});

test("P4 a reset that comes while rows are being fetched for another reason has them fetched again", async () => {
  const giving = [];
  const told = await live([choice(1, { votes: 1 })]);
  told.table = () => new Promise((done) => giving.push(done));
  await on.clock.pass(10);
  told.rows.reload();
  await until(() => giving.length === 1);
  await on.clock.pass(10);
  told.request.write(named("reset", "a7,b1", { reason: "reset", cursor: "a7", feed: "polls.question:1" }));
  await settle();
  await on.clock.pass(0);
  giving[0]([choice(1, { votes: 7 })]);
  await until(() => giving.length === 2);
  giving[1]([choice(1, { votes: 8 })]);
  await until(() => told.rows.cursor === "a7,b1");
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 8 } });
});

test("after a reset pages fetch their rows at different moments", async () => {
  const told = await live([choice(1, {})], { spread: 4_000 });
  told.request.write(named("reset", "a7,b1", { reason: "reset", cursor: "a7", feed: "polls.question:1" }));
  await settle();
  await on.clock.pass(1_999);
  assert.equal(told.fetched, 1);
  await on.clock.pass(1);
  assert.equal(told.fetched, 2);
});

test("a snapshot that fails is asked for again, and the page hears of it", async () => {
  const statuses = [];
  let tries = 0;
  const told = collect([], {
    async snapshot() {
      tries += 1;
      if (tries < 3) throw new TypeError("Failed to fetch");
      return { cursor: CURSORS, rows: [choice(1, {})] };
    },
    onStatus: ({ status }) => statuses.push(status),
  });
  await until(() => statuses.length === 1);
  await on.clock.pass(750);
  await on.clock.pass(1_500);
  await told.rows.ready;
  (await on.server.next()).stream("id: a1,b1\n\n");
  await until(() => told.rows.status === "live");
  assert.deepEqual(statuses, ["retrying", "retrying", "live"]);
  assert.deepEqual(
    on.warnings.splice(0).map(({ message }) => message),
    ["Failed to fetch", "Failed to fetch"],
  );
});

test("rows can be fetched again at will, and what comes meanwhile is done to them", async () => {
  let give;
  const told = await live([choice(1, { votes: 1 })]);
  told.table = () => new Promise((done) => (give = done));
  await on.clock.pass(10);
  const done = told.rows.reload();
  await until(() => give);
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })));
  await until(() => told.rows.cursor === "a2,b1");
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 2 } });
  give([choice(1, { votes: 1, text: "t" })]);
  await done;
  assert.deepEqual(data(told.rows), { "polls.choice:1": { votes: 2, text: "t" } });
});

test("others may listen, too, and stop", async () => {
  const heard = [];
  const told = await live([choice(1, {})]);
  const { subscribe } = told.rows;
  const stop = subscribe(({ keys }) => heard.push(...keys));
  subscribe(() => {
    throw new Error("Not me.");
  });
  told.request.write(first("a2,b1", about(1, 2, {})));
  await until(() => heard.length === 1);
  stop();
  told.request.write(first("a3,b1", about(1, 3, {})));
  await until(() => told.changes.length === 2);
  assert.equal(heard.length, 1);
  assert.deepEqual(
    on.errors.splice(0).map(({ message }) => message),
    ["Not me.", "Not me."],
  );
});

test("a collection that is closed stays as it is", async () => {
  const told = await live([choice(1, { votes: 1 })]);
  told.request.write(first("a2,b1", about(1, 2, { votes: 2 })));
  await until(() => told.changes.length);
  told.rows.close();
  await until(() => told.request.isOver);
  assert.deepEqual([told.rows.status, data(told.rows)], ["closed", { "polls.choice:1": { votes: 2 } }]);
});

test("a collection that is closed while rows are fetched stays as it is", async () => {
  let give;
  const told = await live([choice(1, { votes: 1 })]);
  told.table = () => new Promise((done) => (give = done));
  await on.clock.pass(10);
  const done = told.rows.reload();
  await until(() => give);
  told.rows.close();
  give([choice(1, { votes: 2 })]);
  await done;
  assert.deepEqual([data(told.rows), told.changes], [{ "polls.choice:1": { votes: 1 } }, []]);
});

test("whoever waits for a collection that is closed, or refused, is told", async () => {
  const closed = collect([], { snapshot: () => new Promise(() => {}) });
  await settle();
  closed.rows.close();
  await assert.rejects(closed.rows.ready, /closed/);
  const refused = collection(on.server.url("/diffs/polls.question/1/"), {});
  on.open.push(refused);
  (await on.server.next()).problem(403, { detail: "Not for you." });
  await assert.rejects(refused.ready, /Not for you/);
  assert.equal(refused.status, "refused");
  on.warnings.length = 0;
});

test("one object needs no snapshot: the endpoint has one", async () => {
  const rows = collection(on.server.url("/diffs/polls.question/1/?limit=7"), { token: async () => "diffs.t" });
  on.open.push(rows);
  const asked = await on.server.next();
  assert.deepEqual([asked.url.search, asked.headers.authorization], ["?limit=7&snapshot=1", "Bearer diffs.t"]);
  asked.json({ ...page("c1"), snapshot: { model: "polls.question", pk: 1, data: { text: "Why?", votes: 0 } } });
  await rows.ready;
  const stream = await on.server.next();
  assert.deepEqual([stream.since, stream.headers.authorization], ["c1", "Bearer diffs.t"]);
  stream.stream("").write(event("c2", about(5, 1, {}, { action: "create" })) + event("c3", diff(3, { votes: 3 })));
  await until(() => rows.cursor === "c3");
  // Its children aren't in the snapshot, so they aren't in the collection.
  assert.deepEqual(data(rows), { "polls.question:1": { text: "Why?", votes: 3 } });
});

test("an object that isn't there is no row, and becomes one", async () => {
  const rows = collection(on.server.url("/diffs/polls.question/1/"));
  on.open.push(rows);
  (await on.server.next()).problem(404);
  await rows.ready;
  const stream = await on.server.next();
  assert.equal(stream.since, null);
  stream.stream("").write(event("c3", diff(3, { votes: 3 }, { action: "create" })));
  await until(() => rows.size);
});

test("an address may give the snapshot; no feed's token is sent there", async () => {
  const rows = collection(on.server.url(FEEDS), { snapshot: on.server.url("/choices.json"), token: ["diffs.t"] });
  on.open.push(rows);
  const asked = await on.server.next();
  assert.deepEqual([asked.url.pathname, asked.headers.authorization], ["/choices.json", undefined]);
  asked.json({ cursor: CURSORS, rows: [choice(1, {})] });
  await rows.ready;
  const stream = await on.server.next();
  assert.deepEqual([stream.feeds[0], stream.headers.authorization], ["a1@polls.question:1", "Bearer diffs.t"]);
});

test("texts of any kind are keys and values, and nothing else", async () => {
  const told = await live([]);
  const data = JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "text": "<script>"}');
  told.request.write(first("a2,b1", created("__proto__", 2, data)) + first("a3,b1", about("__proto__", 3, data)));
  await until(() => told.rows.cursor === "a3,b1");
  assert.equal({}.polluted, undefined);
  assert.deepEqual(Object.keys(told.rows.get("polls.choice:__proto__").data).sort(), [
    "__proto__",
    "constructor",
    "text",
  ]);
});

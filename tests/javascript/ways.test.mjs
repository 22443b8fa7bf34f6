// The ways by which diffs come: streams, long polls, polls, and when one gives way to another.

import assert from "node:assert/strict";
import test from "node:test";

import { subscribe } from "../../diffs/static/diffs/diffs.js";
import { diff, page, settle, stage, until } from "./stage.mjs";

const on = stage();
const TWO = "/diffs/?feed=a1@polls.question:1&feed=b1@polls.question:2";
const WAITED = { "Preference-Applied": "wait=25" };

function follow(address = "/diffs/polls.question/1/?since=c0", options = {}) {
  const told = { diffs: [], resets: [], reports: [] };
  const subscription = subscribe(on.server.url(address), {
    onDiff: (one) => told.diffs.push(one.version),
    onReset: (reset) => void told.resets.push(reset),
    onStatus({ status, mode, retryIn }) {
      told.reports.push(mode ? `${status} ${mode}` : status);
      told.retryIn = retryIn;
    },
    ...options,
  });
  on.open.push(subscription);
  /** Wait for a failure, and then until it is tried again. */
  async function retry() {
    await until(() => told.subscription.status === "retrying" && told.retryIn);
    const { retryIn } = told;
    told.retryIn = 0;
    await on.clock.pass(retryIn);
  }
  return Object.assign(told, { retry, subscription });
}

/** Follow by long polls, of which the first doesn't wait. */
async function followLong(options = {}) {
  const told = follow(undefined, { mode: "long-poll", ...options });
  const first = await on.server.next();
  assert.equal(first.headers.prefer, undefined);
  first.json(page("c0"));
  return told;
}

test("a stream that never begins gives way to long polls after the first try", async () => {
  const told = follow();
  await on.server.next();
  await on.clock.pass(20_000);
  await told.retry();
  assert.equal((await on.server.next()).headers.accept, "application/json");
});

test("a server that has streamed is asked for a stream again where it doesn't answer once", async () => {
  const told = follow();
  const request = (await on.server.next()).stream().write("id: c1\n\n");
  await until(() => told.subscription.status === "live");
  request.end();
  await told.retry();
  await on.server.next();
  await on.clock.pass(20_000);
  await told.retry();
  assert.match((await on.server.next()).headers.accept, /event-stream/);
});

test("a server that doesn't stream is asked to wait, and one that doesn't wait is polled", async () => {
  const told = follow();
  const stream = await on.server.next();
  assert.equal(stream.headers.accept, "text/event-stream, application/json;q=0.9");
  stream.json(page("c1", [diff(1)]));
  const waiting = await on.server.next();
  assert.deepEqual(
    [waiting.headers.accept, waiting.headers.prefer, waiting.since],
    ["application/json", "wait=25", "c1"],
  );
  waiting.json(page("c2", [diff(2)]));
  await until(() => told.subscription.cursor === "c2");
  assert.equal(on.server.waiting, 0);
  await on.clock.pass(5_000);
  const poll = await on.server.next();
  assert.deepEqual([poll.headers.accept, poll.headers.prefer, poll.since], ["application/json", undefined, "c2"]);
  poll.json(page("c3"));
  await until(() => told.subscription.cursor === "c3");
  assert.deepEqual(told.diffs, [1, 2]);
  assert.deepEqual(told.reports, ["live poll"]);
});

test("the first answer shows that all is well, without waiting", async () => {
  const told = await followLong();
  await until(() => told.subscription.status === "live");
  assert.deepEqual(told.reports, ["live long-poll"]);
  assert.equal((await on.server.next()).headers.prefer, "wait=25");
});

test("long polls follow each other at once", async () => {
  const told = await followLong();
  (await on.server.next()).json(page("c1", [diff(1)]), WAITED);
  const second = await on.server.next();
  await on.clock.pass(25_000);
  second.json(page("c1"), WAITED);
  assert.equal((await on.server.next()).since, "c1");
  assert.deepEqual(told.reports, ["live long-poll"]);
});

test("how long a long poll waits may be chosen", async () => {
  await followLong({ wait: 7_000 });
  assert.equal((await on.server.next()).headers.prefer, "wait=7");
});

test("a long poll that is empty and hasn't waited doesn't make for a storm", async () => {
  const told = await followLong();
  (await on.server.next()).json(page("c1"), WAITED);
  await until(() => told.subscription.cursor === "c1");
  await on.clock.pass(999);
  assert.equal(on.server.waiting, 0);
  await on.clock.pass(1);
  await on.server.next();
});

test("the moment that now is isn't waited for", async () => {
  const told = follow("/diffs/polls.question/1/?since=now", { mode: "long-poll" });
  const first = await on.server.next();
  assert.deepEqual([first.since, first.headers.prefer], ["now", undefined]);
  first.json(page("c1"));
  const second = await on.server.next();
  assert.deepEqual([second.since, second.headers.prefer], ["c1", "wait=25"]);
  assert.deepEqual(told.reports, ["live long-poll"]);
});

test("P4 a long poll whose cursor is refused again and again doesn't make for a storm", async () => {
  const told = await followLong();
  (await on.server.next()).problem(410, { reason: "reset", cursor: "c8" });
  await until(() => told.subscription.cursor === "c8");
  await on.clock.pass(999);
  assert.equal(on.server.waiting, 0);
  await on.clock.pass(1);
  (await on.server.next()).problem(410, { reason: "reset", cursor: "c9" });
  await until(() => told.subscription.cursor === "c9");
  assert.deepEqual(told.reports, ["live long-poll"]);
});

test("a long poll may take its time before it counts as lost", async () => {
  const told = await followLong();
  await on.server.next();
  await on.clock.pass(44_999);
  assert.equal(told.subscription.status, "live");
  await on.clock.pass(1);
  await until(() => told.subscription.status === "retrying");
});

test("polls differ in time from page to page", async () => {
  Math.random = () => 0;
  follow(undefined, { mode: "poll" });
  (await on.server.next()).json(page("c1"));
  await settle();
  await on.clock.pass(4_500);
  await on.server.next();
});

test("how often to poll may be chosen", async () => {
  follow(undefined, { mode: "poll", pollEvery: 1_000 });
  (await on.server.next()).json(page("c1"));
  await settle();
  await on.clock.pass(999);
  assert.equal(on.server.waiting, 0);
  await on.clock.pass(1);
  await on.server.next();
});

test("where there is more it is asked for at once", async () => {
  const told = follow(undefined, { mode: "poll" });
  (await on.server.next()).json(page("c1", [diff(1)], true));
  (await on.server.next()).json(page("c2", [], true));
  assert.equal((await on.server.next()).since, "c2");
  assert.deepEqual(told.diffs, [1]);
});

test("the cursor of a page counts when all of its diffs are told", async () => {
  const cursors = [];
  const told = follow(undefined, { mode: "poll", onDiff: () => cursors.push(told.subscription.cursor) });
  (await on.server.next()).json(page("c1", [diff(1), diff(2)]));
  await until(() => told.subscription.cursor === "c1");
  assert.deepEqual(cursors, ["c0", "c0"]);
});

test("P4 a poll whose cursor is refused goes on from the fresh one, when the page has fetched again", async () => {
  const told = follow(undefined, {
    mode: "poll",
    onReset: (reset) => new Promise((done) => told.resets.push(reset) && (told.fetched = done)),
  });
  (await on.server.next()).problem(410, { reason: "reset", cursor: "c8" });
  await until(() => told.fetched);
  await on.clock.pass(60_000);
  assert.deepEqual([told.subscription.cursor, on.server.waiting], ["c0", 0]);
  told.fetched();
  await until(() => told.subscription.cursor === "c8");
  await on.clock.pass(5_000);
  assert.equal((await on.server.next()).since, "c8");
  assert.deepEqual(
    told.resets.map(({ reason, cursor }) => [reason, cursor]),
    [["reset", "c8"]],
  );
  assert.deepEqual(told.reports, ["live poll"]);
});

test("a 410 that tells no cursor isn't the endpoint's", async () => {
  const told = follow(undefined, { mode: "poll" });
  (await on.server.next()).problem(410);
  await until(() => told.subscription.status === "retrying");
  assert.deepEqual(told.resets, []);
});

test("P4 of several feeds in a poll one may be refused, and the others go on", async () => {
  const told = follow(TWO, { mode: "poll" });
  (await on.server.next()).json({
    feeds: [
      { feed: "polls.question:1", ...page("a2", [diff(2)]) },
      { feed: "polls.question:2", error: { status: 410, reason: "window", cursor: "b9" } },
    ],
  });
  await until(() => told.subscription.cursor === "a2,b9");
  assert.deepEqual(told.diffs, [2]);
  assert.deepEqual(told.resets, [{ reason: "window", cursor: "b9", feed: "polls.question:2", received: on.clock.now }]);
});

test("diffs of several feeds in a poll are told in the order in which they happened, each once", async () => {
  const story = [];
  const told = follow(TWO, { mode: "poll", onDiff: ({ feed, version }) => story.push([version, feed]) });
  (await on.server.next()).json({
    feeds: [
      { feed: "polls.question:1", ...page("a2", [diff(1), diff(4), diff(5)]) },
      { feed: "polls.question:2", ...page("b2", [diff(3, {}, { pk: 2 }), diff(4)], true) },
    ],
  });
  const next = await on.server.next();
  assert.deepEqual(next.feeds, ["a2@polls.question:1", "b2@polls.question:2"]);
  assert.deepEqual(story, [
    [1, "polls.question:1"],
    [3, "polls.question:2"],
    [4, "polls.question:1"],
    [5, "polls.question:1"],
  ]);
  assert.equal(told.subscription.cursor, "a2,b2");
});

for (const [name, document] of [
  ["a page without a cursor", { diffs: [] }],
  ["a page of other feeds", { feeds: [page("c1")] }],
  ["a page of something else than diffs", page("c1", [diff(1), { id: 2 }])],
  ["no page", []],
  ["nothing", null],
]) {
  test(`${name} is a fault, and asked for again`, async () => {
    const told = follow(undefined, { mode: "poll" });
    (await on.server.next()).json(document);
    await until(() => told.subscription.status === "retrying");
    assert.equal(told.subscription.cursor, "c0");
  });
}

test("a page of somebody else's, such as a login, is a fault", async () => {
  const told = follow();
  (await on.server.next()).json("<form>", { type: "text/html" });
  await until(() => told.subscription.status === "retrying");
});

test("a stream that a proxy holds back gives way to long polls within seconds", async () => {
  const told = follow();
  const stream = (await on.server.next()).stream("");
  await settle();
  await on.clock.pass(4_999);
  assert.equal(on.server.waiting, 0);
  await on.clock.pass(1);
  (await on.server.next()).json(page("c1", [diff(1)]));
  await until(() => stream.isOver);
  (await on.server.next()).json(page("c2", [diff(2)]), WAITED);
  await until(() => told.diffs.length === 2);
  assert.deepEqual(told.reports, ["live long-poll"]);
});

test("a better way is tried again after five minutes", async () => {
  const told = follow(undefined, { pollEvery: 100_000 });
  (await on.server.next()).json(page("c1"));
  (await on.server.next()).json(page("c2"));
  for (const minutes of [100_000, 200_000]) {
    await settle();
    await on.clock.pass(100_000);
    const poll = await on.server.next();
    assert.ok(!poll.wantsStream, `${minutes}`);
    poll.json(page("c2"));
  }
  await settle();
  // The polls came a moment after each other, and five minutes aren't over with the third.
  await on.clock.pass(100_000);
  (await on.server.next()).json(page("c2"));
  await settle();
  await on.clock.pass(100_000);
  const stream = await on.server.next();
  assert.ok(stream.wantsStream);
  stream.stream("id: c3\n\n");
  await until(() => told.subscription.cursor === "c3");
  assert.deepEqual(told.reports, ["live poll", "live stream"]);
});

test("streams that break again and again give way to long polls", async () => {
  const told = follow();
  for (let round = 0; round < 3; round += 1) {
    const request = (await on.server.next()).stream(`id: c${round}\n\n`);
    await until(() => told.subscription.cursor === `c${round}`);
    request.cut();
    await told.retry();
  }
  (await on.server.next()).json(page("c3"));
  assert.equal((await on.server.next()).headers.prefer, "wait=25");
});

test("streams that break now and then do not", async () => {
  const told = follow();
  for (let round = 0; round < 5; round += 1) {
    const request = (await on.server.next()).stream(`id: c${round}\n\n`);
    for (const beat of ["a", "b"]) {
      await settle();
      await on.clock.pass(30_000);
      request.write(`id: ${beat}\n\n`);
      await until(() => told.subscription.cursor === beat);
    }
    request.cut();
    await told.retry();
  }
  assert.ok((await on.server.next()).wantsStream);
});

test("a server that is away is no reason to try other ways", async () => {
  const told = follow();
  for (let round = 0; round < 6; round += 1) {
    const request = await on.server.next();
    assert.ok(request.wantsStream);
    if (round % 2) request.cut();
    else request.problem(503);
    await told.retry();
  }
});

test("long polls that a proxy cuts off give way to polls", async () => {
  const told = await followLong();
  for (let round = 0; round < 3; round += 1) {
    const request = await on.server.next();
    assert.equal(request.headers.prefer, "wait=25");
    request.problem(504);
    await told.retry();
    (await on.server.next()).json(page("c1"));
  }
  await until(() => told.subscription.mode === "poll");
  await on.clock.pass(5_000);
  assert.equal((await on.server.next()).headers.prefer, undefined);
});

test("options that are undefined count as not given", async () => {
  const nothing = [
    "mode",
    "wait",
    "pollEvery",
    "heartbeat",
    "pauseAfter",
    "longestPause",
    "token",
    "since",
    "fetch",
    "signal",
  ];
  const told = follow(undefined, Object.fromEntries(nothing.map((name) => [name, undefined])));
  (await on.server.next()).stream("id: c1\n\n");
  await until(() => told.subscription.cursor === "c1");
  await on.clock.pass(30_000);
  assert.deepEqual(told.reports, ["live stream"]);
});

test("a request is never answered from a cache", async () => {
  const seen = [];
  const counting = (address, options) => seen.push(options) && fetch(address, options);
  follow(undefined, { fetch: counting, credentials: "include" });
  (await on.server.next()).json(page("c1"));
  await until(() => seen.length === 2);
  assert.deepEqual(
    seen.map(({ cache, credentials }) => [cache, credentials]),
    [
      ["no-store", "include"],
      ["no-store", "include"],
    ],
  );
});

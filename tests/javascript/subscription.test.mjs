// A subscription to a scripted server: the stream, resuming, refused cursors, and what ends it.

import assert from "node:assert/strict";
import test from "node:test";

import { subscribe } from "../../diffs/static/diffs/diffs.js";
import { diff, event, named, page, settle, stage, until } from "./stage.mjs";

const on = stage();
const TWO = "/diffs/?feed=a1@polls.question:1&feed=b1@polls.question:2";

/** Follow something, and write down what is told. */
function follow(address = "/diffs/polls.question/1/?since=c0", options = {}) {
  const told = { diffs: [], resets: [], reports: [] };
  const subscription = subscribe(on.server.url(address), {
    onDiff: (one) => told.diffs.push(one.data),
    onReset: (reset) => void told.resets.push(reset),
    onStatus: ({ error, ...report }) => told.reports.push(error ? { ...report, error: error.message } : report),
    ...options,
  });
  on.open.push(subscription);
  return Object.assign(told, { subscription });
}

const statuses = (told) => told.reports.map(({ status }) => status);

test("diffs are told as they come, and the cursor follows", async () => {
  const told = follow();
  const request = await on.server.next();
  assert.ok(request.wantsStream);
  assert.equal(request.since, "c0");
  assert.equal(told.subscription.status, "connecting");
  request.stream().write(event("c1", diff(1)) + event("c2", diff(2)) + "id: c3\n\n");
  await until(() => told.subscription.cursor === "c3");
  assert.deepEqual(told.diffs, [{ votes: 1 }, { votes: 2 }]);
  assert.deepEqual(told.reports, [{ status: "live", mode: "stream" }]);
});

test("nothing is asked and told before whoever subscribes has the subscription", async () => {
  let subscription = null;
  const seen = [];
  subscription = subscribe(on.server.url("/diffs/polls.question/1/"), {
    onStatus: () => seen.push(subscription.status),
  });
  on.open.push(subscription);
  (await on.server.next()).problem(403);
  await until(() => seen.length);
  assert.deepEqual(seen, ["refused"]);
});

test("a diff is told when its event is whole", async () => {
  const told = follow();
  const request = (await on.server.next()).stream().write(event("c1", diff(1)).slice(0, -1));
  await settle();
  assert.deepEqual(told.diffs, []);
  request.write("\n");
  await until(() => told.diffs.length);
});

test("a broken stream is resumed from the last id, after a pause that grows", async () => {
  const told = follow();
  (await on.server.next()).stream().write(`${event("c1", diff(1))}id: c2\n\n${event("c3", diff(3)).slice(0, -1)}`);
  await until(() => told.subscription.cursor === "c2");
  const first = on.clock.now;
  on.server.stop();
  await until(() => told.reports.length === 2);
  assert.deepEqual(told.reports[1], {
    status: "retrying",
    mode: "stream",
    error: "The stream broke off.",
    retryIn: 1500,
  });
  const pauses = [];
  for (let round = 0; round < 6; round += 1) {
    pauses.push(told.reports.at(-1).retryIn);
    const before = told.reports.length;
    await on.clock.pass(told.reports.at(-1).retryIn);
    await until(() => told.reports.length > before);
  }
  assert.deepEqual([...pauses, told.reports.at(-1).retryIn], [1500, 3000, 6000, 12_000, 22_500, 22_500, 22_500]);
  assert.equal(on.clock.now - first, 68_000 - 500);
  await on.server.start();
  await on.clock.pass(22_500);
  assert.equal((await on.server.next()).since, "c2");
});

test("pauses differ between pages", async () => {
  const told = follow();
  (await on.server.next()).stream().write("id: c1\n\n");
  await until(() => told.subscription.status === "live");
  Math.random = () => 0;
  on.server.stop();
  await until(() => told.subscription.status === "retrying");
  assert.equal(told.reports.at(-1).retryIn, 1000);
});

test("a server that is well again makes pauses short again", async () => {
  const told = follow();
  for (let round = 0; round < 3; round += 1) {
    (await on.server.next()).problem(500);
    await until(() => told.reports.length === round + 1);
    await on.clock.pass(told.reports.at(-1).retryIn);
  }
  const request = (await on.server.next()).stream("id: c1\n\n");
  await until(() => told.subscription.status === "live");
  request.cut();
  await until(() => told.subscription.status === "retrying");
  assert.deepEqual(
    told.reports.map(({ retryIn }) => retryIn),
    [750, 1500, 3000, undefined, 750],
  );
});

test("a stream that the server ends in order is gone on with at once", async () => {
  const told = follow();
  (await on.server.next()).stream().write(event("c1", diff(1)) + named("resume", "c2", { reason: "age" }));
  assert.equal((await on.server.next()).since, "c2");
  assert.deepEqual(statuses(told), ["live"]);
});

test("a stream that ends before it began is a failure, or it would be asked for without a pause", async () => {
  const told = follow();
  (await on.server.next()).stream().write(named("resume", "c0", { reason: "behind" }));
  await until(() => told.subscription.status === "retrying");
  assert.equal(on.server.waiting, 0);
});

for (const [name, text] of [
  ["no JSON", "id: c2\ndata: {\n\n"],
  ["no diff", 'id: c2\ndata: {"votes":1}\n\n'],
  ["nothing", "id: c2\ndata: null\n\n"],
  ["no version", event("c2", { ...diff(2), version: "soon" })],
  ["no reset", "event: reset\nid: c2\ndata: null\n\n"],
]) {
  test(`what is ${name} breaks the stream, and is asked for again: it is never passed over`, async () => {
    const told = follow();
    const request = (await on.server.next()).stream().write(event("c1", diff(1)) + text + event("c3", diff(3)));
    await until(() => told.subscription.status === "retrying");
    await until(() => request.isOver);
    assert.deepEqual([told.diffs, told.subscription.cursor], [[{ votes: 1 }], "c1"]);
    await on.clock.pass(told.reports.at(-1).retryIn);
    assert.equal((await on.server.next()).since, "c1");
  });
}

test("events of other kinds only move the cursor", async () => {
  const told = follow();
  (await on.server.next()).stream().write(named("news", "c1", { of: "a later version" }));
  await until(() => told.subscription.cursor === "c1");
  assert.deepEqual(told.diffs, []);
});

test("a stream that is silent for two and a half heartbeats is broken", async () => {
  const told = follow();
  const request = (await on.server.next()).stream().write("id: c1\n\n");
  await until(() => told.subscription.status === "live");
  await on.clock.pass(37_000);
  request.write("id: c2\n\n");
  await until(() => told.subscription.cursor === "c2");
  await on.clock.pass(37_499);
  assert.equal(told.subscription.status, "live");
  await on.clock.pass(1);
  await until(() => told.subscription.status === "retrying");
  assert.equal(told.reports.at(-1).error, "The endpoint doesn't answer.");
  await until(() => request.isOver);
});

test("other heartbeats make for other patience", async () => {
  const told = follow(undefined, { heartbeat: 2_000 });
  (await on.server.next()).stream().write("id: c1\n\n");
  await until(() => told.subscription.status === "live");
  await on.clock.pass(5_000);
  await until(() => told.subscription.status === "retrying");
});

test("a server that doesn't answer at all is asked again", async () => {
  const told = follow();
  const request = await on.server.next();
  await on.clock.pass(20_000);
  await until(() => told.subscription.status === "retrying");
  await until(() => request.isOver);
});

test("a server that is away says when to come back", async () => {
  const told = follow();
  (await on.server.next()).problem(503, {}, { "Retry-After": "7" });
  await until(() => told.subscription.status === "retrying");
  assert.deepEqual(told.reports, [{ status: "retrying", mode: null, error: "Problem 503", retryIn: 8750 }]);
});

test("it may say so by a date", async () => {
  const told = follow();
  (await on.server.next()).problem(503, {}, { "Retry-After": new Date(Date.now() + 60_500).toUTCString() });
  await until(() => told.subscription.status === "retrying");
  const { retryIn } = told.reports[0];
  assert.ok(retryIn > 1.25 * 58_000 && retryIn <= 1.25 * 60_500, String(retryIn));
});

test("a server that asks for a pause of years gets one of an hour or so", async () => {
  const told = follow();
  (await on.server.next()).problem(503, {}, { "Retry-After": "999999999" });
  await until(() => told.subscription.status === "retrying");
  assert.equal(told.reports[0].retryIn, 1.25 * 3_600_000);
});

test("a date that makes no sense, or lies in the past, is no reason to wait", async () => {
  const told = follow();
  for (const [round, date] of ["soon", "Thu, 01 Jan 1970 00:00:00 GMT"].entries()) {
    (await on.server.next()).problem(503, {}, { "Retry-After": date });
    await until(() => told.reports.length === round + 1);
    await on.clock.pass(told.reports[round].retryIn);
  }
  assert.deepEqual(
    told.reports.map(({ retryIn }) => retryIn),
    [750, 1500],
  );
});

test("when the network is back it goes on at once", async () => {
  const told = follow();
  (await on.server.next()).cut();
  await until(() => told.subscription.status === "retrying");
  await on.clock.pass(100);
  assert.equal(on.server.waiting, 0);
  on.page.happens("online");
  await on.clock.pass(0);
  (await on.server.next()).stream("id: c1\n\n");
  await until(() => told.subscription.status === "live");
});

test("when the network is back a server that asked to be left alone is left alone", async () => {
  const told = follow();
  (await on.server.next()).problem(503, {}, { "Retry-After": "10" });
  await until(() => told.subscription.status === "retrying");
  on.page.happens("online");
  await on.clock.pass(10_000);
  assert.equal(on.server.waiting, 0);
  await on.clock.pass(2_500);
  await on.server.next();
});

test("a stream from before the network was away is not trusted", async () => {
  const told = follow();
  const request = (await on.server.next()).stream("id: c1\n\n");
  await until(() => told.subscription.status === "live");
  on.page.happens("online");
  assert.equal((await on.server.next()).since, "c1");
  await until(() => request.isOver);
  assert.deepEqual(statuses(told), ["live"]);
});

for (const status of [400, 401, 403, 404]) {
  test(`${status} ends it`, async () => {
    const told = follow();
    (await on.server.next()).problem(status, { detail: "So it is." });
    await until(() => told.subscription.status === "refused");
    assert.deepEqual(told.reports, [{ status: "refused", mode: null, error: "So it is." }]);
    await on.clock.pass(3_600_000);
    assert.equal(on.server.waiting, 0);
  });
}

test("why it was refused is told with the problem's members", async () => {
  const reports = [];
  follow(undefined, { onStatus: (report) => reports.push(report) });
  (await on.server.next()).problem(400, { parameter: "limit" });
  await until(() => reports.length);
  const { error } = reports[0];
  assert.deepEqual(
    [error.name, error.status, error.problem.parameter, error.isFinal],
    ["AnswerError", 400, "limit", true],
  );
});

test("an answer that is no problem document is no mystery either", async () => {
  const told = follow();
  (await on.server.next()).json("<h1>Bad Gateway</h1>", { status: 502, type: "text/html" });
  await until(() => told.subscription.status === "retrying");
  assert.equal(told.reports[0].error, "The endpoint answered with 502.");
});

test("P4 a refused cursor is told, and the stream goes on behind it", async () => {
  const told = follow();
  (await on.server.next())
    .stream()
    .write(named("reset", "c5", { status: 410, reason: "window", cursor: "c5" }) + event("c6", diff(6)));
  await until(() => told.subscription.cursor === "c6");
  assert.deepEqual(told.resets, [{ reason: "window", cursor: "c5", received: on.clock.now }]);
  assert.deepEqual(told.diffs, [{ votes: 6 }]);
  assert.deepEqual(statuses(told), ["live"]);
});

test("P4 what comes while a page fetches its objects again is held back", async () => {
  const story = [];
  let fetched;
  const told = follow(undefined, {
    onDiff: ({ version }) => story.push(version),
    async onReset({ reason }) {
      story.push(reason);
      await new Promise((done) => (fetched = done));
      story.push("fetched");
    },
  });
  const request = (await on.server.next()).stream();
  request.write(event("c1", diff(1)) + named("reset", "c2", { reason: "reset", cursor: "c2" }) + event("c3", diff(3)));
  await until(() => fetched);
  request.write(event("c4", diff(4)) + "id: c5\n\n");
  await settle();
  assert.deepEqual(story, [1, "reset"]);
  // Whoever keeps the cursor now hasn't fetched yet.
  assert.equal(told.subscription.cursor, "c1");
  fetched();
  await until(() => told.subscription.cursor === "c5");
  assert.deepEqual(story, [1, "reset", "fetched", 3, 4]);
});

test("P4 a connection that breaks meanwhile is resumed behind what is held back", async () => {
  const told = follow(undefined, { onReset: () => new Promise((done) => (told.fetched = done)) });
  const request = (await on.server.next()).stream();
  request.write(named("reset", "c2", { reason: "reset", cursor: "c2" }) + event("c3", diff(3)));
  await until(() => told.fetched);
  request.cut();
  await until(() => told.subscription.status === "retrying");
  await on.clock.pass(1_500);
  told.fetched();
  const next = await on.server.next();
  assert.equal(next.since, "c3");
  assert.deepEqual(told.diffs, [{ votes: 3 }]);
});

test("P4 resets come one after the other, and the diffs between them stay between them", async () => {
  const story = [];
  follow(undefined, {
    onDiff: ({ version }) => story.push(version),
    async onReset({ cursor }) {
      story.push(`${cursor} begins`);
      await settle();
      story.push(`${cursor} ends`);
    },
  });
  const reset = (cursor) => named("reset", cursor, { reason: "reset", cursor });
  (await on.server.next())
    .stream()
    .write(reset("c1") + event("c2", diff(2)) + reset("c3") + reset("c4") + event("c5", diff(5)));
  await until(() => story.at(-1) === 5);
  assert.deepEqual(story, ["c1 begins", "c1 ends", 2, "c3 begins", "c3 ends", "c4 begins", "c4 ends", 5]);
});

test("P4 a page that can't fetch its objects is asked again until it can", async () => {
  let tries = 0;
  const told = follow(undefined, {
    async onReset() {
      tries += 1;
      if (tries < 3) throw new Error(`Try ${tries} failed.`);
    },
  });
  (await on.server.next())
    .stream("")
    .write(named("reset", "c2", { reason: "reset", cursor: "c2" }) + event("c3", diff(3)));
  await until(() => tries === 1);
  await on.clock.pass(750);
  assert.equal(tries, 2);
  assert.deepEqual(told.diffs, []);
  await on.clock.pass(1_500);
  await until(() => told.diffs.length);
  assert.deepEqual(statuses(told), ["retrying", "retrying", "live"]);
  assert.deepEqual(on.errors.splice(0).map(String), ["Error: Try 1 failed.", "Error: Try 2 failed."]);
});

test("a page that takes for ever is not sent more than it can hold", async () => {
  const told = follow(undefined, { onReset: () => new Promise((done) => (told.fetched = done)) });
  const request = (await on.server.next()).stream();
  request.write(named("reset", "c0", { reason: "reset", cursor: "c0" }));
  await until(() => told.fetched);
  const many = Array.from({ length: 30_000 }, (_, number) =>
    event(`c${number}`, diff(number, { text: "x".repeat(1000) })),
  );
  for (let start = 0; start < many.length; start += 100) request.write(many.slice(start, start + 100).join(""));
  await settle();
  await on.clock.pass(120_000);
  // It is still connected, and the server is left with what isn't read.
  assert.ok(request.response.writableLength > 1_000_000, String(request.response.writableLength));
  assert.equal(on.server.waiting, 0);
  told.fetched();
  await until(() => told.diffs.length === 30_000);
});

test("diffs that come twice are told once", async () => {
  const told = follow();
  const request = (await on.server.next()).stream().write(event("c1", diff(1)) + event("c2", diff(2)));
  await until(() => told.subscription.cursor === "c2");
  request.cut();
  await until(() => told.subscription.status === "retrying");
  await on.clock.pass(1_500);
  (await on.server.next()).stream().write(event("c2", diff(2)) + event("c3", diff(3)));
  await until(() => told.subscription.cursor === "c3");
  assert.deepEqual(told.diffs, [{ votes: 1 }, { votes: 2 }, { votes: 3 }]);
});

test("P7 a value that comes late is not told", async () => {
  const told = follow();
  (await on.server.next()).stream().write(event("c1", diff(2)) + event("c2", diff(1)) + event("c3", diff(3)));
  await until(() => told.subscription.cursor === "c3");
  assert.deepEqual(told.diffs, [{ votes: 2 }, { votes: 3 }]);
});

test("what a callback throws is reported and stops nothing", async () => {
  const seen = [];
  const told = follow(undefined, {
    onDiff({ version }) {
      seen.push(version);
      throw new Error(`Diff ${version}`);
    },
    onStatus({ status }) {
      if (status === "live") throw new Error("Status");
    },
  });
  (await on.server.next()).stream("id: c0\n\n").write(event("c1", diff(1)) + event("c2", diff(2)));
  await until(() => told.subscription.cursor === "c2");
  assert.deepEqual(seen, [1, 2]);
  assert.deepEqual(
    on.errors
      .splice(0)
      .map(({ message }) => message)
      .sort(),
    ["Diff 1", "Diff 2", "Status"],
  );
});

test("after close nothing is told, not even what had come already", async () => {
  const told = follow(undefined, {
    onDiff(one) {
      told.diffs.push(one.data);
      told.subscription.close();
    },
  });
  const request = (await on.server.next()).stream().write(event("c1", diff(1)) + event("c2", diff(2)));
  await until(() => request.isOver);
  assert.deepEqual(told.diffs, [{ votes: 1 }]);
  assert.equal(told.reports.at(-1).status, "closed");
  assert.equal(told.subscription.status, "closed");
  await on.clock.pass(3_600_000);
  assert.equal(on.server.waiting, 0);
});

test("a signal closes it", async () => {
  const control = new AbortController();
  const told = follow(undefined, { signal: control.signal });
  const request = await on.server.next();
  control.abort();
  await until(() => request.isOver);
  assert.deepEqual(statuses(told), ["closed"]);
});

test("a signal that was given already begins nothing", async () => {
  const told = follow(undefined, { signal: AbortSignal.abort() });
  await settle();
  assert.deepEqual([statuses(told), on.server.waiting], [["closed"], 0]);
});

test("several feeds have a cursor each, and their diffs say which they came in", async () => {
  const feeds = [];
  const told = follow(TWO, { onDiff: ({ feed }) => feeds.push(feed) });
  const request = await on.server.next();
  assert.deepEqual(request.feeds, ["a1@polls.question:1", "b1@polls.question:2"]);
  request.stream().write(event("a1,b2", { feed: "polls.question:2", ...diff(1, {}, { pk: 2 }) }) + "id: a2,b3\n\n");
  await until(() => told.subscription.cursor === "a2,b3");
  assert.deepEqual(feeds, ["polls.question:2"]);
  assert.deepEqual(told.subscription.cursors, { "polls.question:1": "a2", "polls.question:2": "b3" });
  request.cut();
  await until(() => told.subscription.status === "retrying");
  await on.clock.pass(1_500);
  assert.deepEqual((await on.server.next()).feeds, ["a2@polls.question:1", "b3@polls.question:2"]);
});

test("of several feeds one may begin with its oldest diff", async () => {
  const told = follow(TWO);
  (await on.server.next()).stream("").write("id: a2,\n\n");
  await until(() => told.subscription.cursor === "a2,");
  on.page.happens("online");
  assert.deepEqual((await on.server.next()).feeds, ["a2@polls.question:1", "@polls.question:2"]);
});

test("P4 of several feeds one may be refused", async () => {
  const told = follow(TWO);
  (await on.server.next())
    .stream()
    .write(named("reset", "a1,b9", { reason: "reset", cursor: "b9", feed: "polls.question:2" }));
  await until(() => told.subscription.cursor === "a1,b9");
  assert.deepEqual(told.resets, [{ reason: "reset", cursor: "b9", feed: "polls.question:2", received: on.clock.now }]);
});

test("a diff that is in two feeds is told once", async () => {
  const told = follow(TWO);
  const moved = diff(5, { question: 2 }, { model: "polls.choice" });
  (await on.server.next())
    .stream()
    .write(
      event("a2,b1", { feed: "polls.question:1", ...moved }) + event("a2,b2", { feed: "polls.question:2", ...moved }),
    );
  await until(() => told.subscription.cursor === "a2,b2");
  assert.deepEqual(told.diffs, [{ question: 2 }]);
});

test("an id with a cursor too many is a fault of the stream", async () => {
  const told = follow(TWO);
  (await on.server.next()).stream().write("id: a,b,c\n\n");
  await until(() => told.subscription.status === "retrying");
  assert.match(told.reports[0].error, /a cursor for each feed/);
});

for (const [name, since, address, asked] of [
  ["a cursor", "c7", "/diffs/polls.question/1/?since=c0", { since: "c7" }],
  ["now", "now", "/diffs/polls.question/1/", { since: "now" }],
  ["nothing, for the oldest diff", "", "/diffs/polls.question/1/?since=c0", { since: null }],
  ["nothing at all", undefined, "/diffs/polls.question/1/?since=c0", { since: "c0" }],
  ["the cursor of several feeds", "a7,b7", TWO, { feeds: ["a7@polls.question:1", "b7@polls.question:2"] }],
  [
    "cursors by feed",
    { "polls.question:2": "b7", "polls.question:1": "a7" },
    TWO,
    { feeds: ["a7@polls.question:1", "b7@polls.question:2"] },
  ],
  ["a function", async () => "c8", "/diffs/polls.question/1/", { since: "c8" }],
]) {
  test(`since may be ${name}`, async () => {
    follow(address, { since });
    const request = await on.server.next();
    assert.deepEqual({ [Object.keys(asked)[0]]: request[Object.keys(asked)[0]] }, asked);
  });
}

test("a function that gives the cursor is asked again where it fails", async () => {
  let tries = 0;
  const told = follow(undefined, {
    async since() {
      tries += 1;
      if (tries === 1) throw new Error("Not yet.");
      return "c9";
    },
  });
  await until(() => told.subscription.status === "retrying");
  await on.clock.pass(750);
  assert.equal((await on.server.next()).since, "c9");
  assert.equal(told.subscription.cursor, "c9");
  assert.deepEqual(
    on.errors.splice(0).map(({ message }) => message),
    ["Not yet."],
  );
});

test("addresses and cursors that make no sense are refused at once", () => {
  assert.throws(() => subscribe("http://", {}), TypeError);
  assert.throws(() => subscribe(on.server.url(TWO), { since: "a1" }), /a cursor for each feed, not "a1"/);
  assert.throws(() => subscribe(on.server.url(TWO), { since: { "polls.question:1": "a" } }), /a cursor for each feed/);
  assert.throws(() => subscribe("/", { mode: "websocket" }), /no mode "websocket"/);
  assert.throws(() => subscribe({ dataset: {} }, {}), /data-diffs-url/);
});

test("an address is read from where the page is", async () => {
  on.page.document.baseURI = on.server.url("/elsewhere/");
  const subscription = subscribe("../diffs/polls.question/1/#part", {});
  on.open.push(subscription);
  const request = await on.server.next();
  assert.equal(request.url.pathname, "/diffs/polls.question/1/");
});

test("an element that the template tag wrote says it all", async () => {
  const dataset = { diffsUrl: on.server.url("/diffs/polls.question/1/"), diffsToken: "diffs.t", diffsCursor: "c4" };
  on.open.push(subscribe({ dataset }, {}));
  const request = await on.server.next();
  assert.deepEqual([request.since, request.headers.authorization], ["c4", "Bearer diffs.t"]);
});

test("parameters that aren't the client's stay in the address, and primary keys in it keep their meaning", async () => {
  follow(`/diffs/?limit=5&x=%26&feed=now@polls.tag:${encodeURIComponent("a&b+c,d@e é")}&snapshot=1&wait=3`);
  const { url } = await on.server.next();
  assert.deepEqual(
    [...url.searchParams],
    [
      ["limit", "5"],
      ["x", "&"],
      ["feed", "now@polls.tag:a&b+c,d@e é"],
    ],
  );
});

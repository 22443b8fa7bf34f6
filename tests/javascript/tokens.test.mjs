// Tokens: in a header, never in an address, and renewed where they are no longer taken.

import assert from "node:assert/strict";
import test from "node:test";

import { subscribe } from "../../diffs/static/diffs/diffs.js";
import { stage, until } from "./stage.mjs";

const on = stage();

function follow(options, address = "/diffs/polls.question/1/") {
  const subscription = subscribe(on.server.url(address), options);
  on.open.push(subscription);
  return subscription;
}

for (const [name, token, header] of [
  ["one", "diffs.a", "Bearer diffs.a"],
  ["several", ["diffs.a", "diffs.b"], "Bearer diffs.a,diffs.b"],
  ["a function's", () => "diffs.a", "Bearer diffs.a"],
  ["some time later", async () => ["diffs.a", "diffs.b"], "Bearer diffs.a,diffs.b"],
  ["none", null, undefined],
  ["none of a function", () => null, undefined],
  ["no list of any", [], undefined],
]) {
  test(`the header holds ${name}`, async () => {
    follow({ token });
    assert.equal((await on.server.next()).headers.authorization, header);
  });
}

test("tokens that stand in the address are sent in the header instead", async () => {
  follow({}, "/diffs/?feed=@a.b:1&feed=@a.b:2&token=diffs.a&token=diffs.b");
  const request = await on.server.next();
  assert.equal(request.headers.authorization, "Bearer diffs.a,diffs.b");
  assert.ok(!request.url.search.includes("token"), request.url.search);
});

test("a token that is no longer taken is asked for again", async () => {
  const tokens = ["first", "second", "third"];
  const reports = [];
  const subscription = follow({ token: async () => tokens.shift(), onStatus: ({ status }) => reports.push(status) });
  const first = await on.server.next();
  assert.equal(first.headers.authorization, "Bearer first");
  first.stream("id: c1\n\n");
  await until(() => subscription.status === "live");
  // The stream has ended in order, and the token expired meanwhile.
  first.write("event: resume\nid: c2\ndata: {}\n\n");
  const second = await on.server.next();
  assert.equal(second.headers.authorization, "Bearer first");
  second.problem(401);
  const third = await on.server.next();
  assert.deepEqual([third.headers.authorization, third.since], ["Bearer second", "c2"]);
  third.stream("id: c3\n\n");
  await until(() => subscription.cursor === "c3");
  // That one expires some day, too.
  third.write("event: resume\nid: c4\ndata: {}\n\n");
  (await on.server.next()).problem(401);
  const fourth = await on.server.next();
  assert.equal(fourth.headers.authorization, "Bearer third");
  fourth.stream("id: c5\n\n");
  await until(() => subscription.cursor === "c5");
  assert.deepEqual(reports, ["live"]);
});

test("a fresh token that isn't taken either ends it", async () => {
  let asked = 0;
  const subscription = follow({ token: () => `${(asked += 1)}` });
  (await on.server.next()).problem(401);
  (await on.server.next()).problem(401);
  await until(() => subscription.status === "refused");
  assert.equal(asked, 2);
});

test("a token that nobody can renew ends it", async () => {
  const subscription = follow({ token: "diffs.a" });
  (await on.server.next()).problem(401);
  await until(() => subscription.status === "refused");
});

test("a function that fails to give a token is asked again after a pause", async () => {
  let asked = 0;
  const subscription = follow({
    token() {
      asked += 1;
      if (asked === 1) throw new Error("No token.");
      return "diffs.a";
    },
  });
  await until(() => subscription.status === "retrying");
  await on.clock.pass(750);
  assert.equal((await on.server.next()).headers.authorization, "Bearer diffs.a");
  assert.deepEqual(
    on.errors.splice(0).map(({ message }) => message),
    ["No token."],
  );
});

// Pages that nobody looks at.

import assert from "node:assert/strict";
import test from "node:test";

import { subscribe } from "../../diffs/static/diffs/diffs.js";
import { page, settle, stage, until } from "./stage.mjs";

const on = stage();

function follow(options = {}) {
  const reports = [];
  const address = on.server.url("/diffs/polls.question/1/?since=c0");
  const subscription = subscribe(address, { onStatus: ({ status }) => reports.push(status), ...options });
  on.open.push(subscription);
  return { subscription, reports };
}

async function live(options) {
  const told = follow(options);
  const request = (await on.server.next()).stream("id: c1\n\n");
  await until(() => told.subscription.status === "live");
  return { ...told, request };
}

test("a page that is hidden for a while gives its connection up, and resumes from its cursor when it is seen", async () => {
  const { reports, request, subscription } = await live();
  on.page.hide();
  await on.clock.pass(9_999);
  assert.equal(subscription.status, "live");
  await on.clock.pass(1);
  await until(() => request.isOver);
  assert.equal(subscription.status, "paused");
  await on.clock.pass(3_600_000);
  assert.equal(on.server.waiting, 0);
  on.page.show();
  const next = await on.server.next();
  assert.equal(next.since, "c1");
  next.stream("id: c2\n\n");
  await until(() => subscription.status === "live");
  assert.deepEqual(reports, ["live", "paused", "connecting", "live"]);
});

test("a page that is hidden for a moment only stays connected", async () => {
  const { request } = await live();
  on.page.hide();
  await on.clock.pass(9_000);
  on.page.show();
  await on.clock.pass(20_000);
  assert.ok(!request.isOver);
});

test("how long that takes may be chosen", async () => {
  const { subscription } = await live({ pauseAfter: 1_000 });
  on.page.hide();
  await on.clock.pass(1_000);
  await until(() => subscription.status === "paused");
});

test("a page may choose to go on for ever", async () => {
  const { request } = await live({ pauseAfter: Infinity, heartbeat: 10 ** 9 });
  on.page.hide();
  await on.clock.pass(86_400_000);
  assert.ok(!request.isOver);
});

test("a page that was opened in the background connects, and then pauses", async () => {
  on.page.hide();
  const { subscription } = await live();
  await on.clock.pass(10_000);
  await until(() => subscription.status === "paused");
});

test("polls pause, too, and go on at once", async () => {
  const { subscription } = follow({ mode: "poll", pollEvery: 60_000 });
  (await on.server.next()).json(page("c1"));
  await until(() => subscription.status === "live");
  on.page.hide();
  await on.clock.pass(10_000);
  await until(() => subscription.status === "paused");
  on.page.show();
  assert.equal((await on.server.next()).since, "c1");
});

test("a pause between two tries ends in a pause", async () => {
  const { subscription } = follow();
  (await on.server.next()).problem(503, {}, { "Retry-After": "60" });
  await until(() => subscription.status === "retrying");
  on.page.hide();
  await on.clock.pass(120_000);
  assert.deepEqual([subscription.status, on.server.waiting], ["paused", 0]);
  on.page.show();
  await on.server.next();
});

test("a page that is left gives its connection up at once, and resumes where it is shown again", async () => {
  const { request, subscription } = await live();
  on.page.happens("pagehide");
  await until(() => request.isOver);
  assert.equal(subscription.status, "paused");
  on.page.happens("pageshow");
  assert.equal((await on.server.next()).since, "c1");
});

test("a page that is left while it is hidden resumes where it is shown again", async () => {
  const { subscription } = await live();
  on.page.hide();
  await on.clock.pass(10_000);
  await until(() => subscription.status === "paused");
  on.page.happens("pagehide");
  on.page.show();
  assert.equal((await on.server.next()).since, "c1");
});

test("a subscription that is closed while the page is hidden stays closed", async () => {
  const { subscription } = await live();
  on.page.hide();
  await on.clock.pass(10_000);
  await until(() => subscription.status === "paused");
  subscription.close();
  on.page.show();
  await settle();
  await on.clock.pass(60_000);
  assert.deepEqual([subscription.status, on.server.waiting], ["closed", 0]);
});

test("where there is no page, nothing pauses", async () => {
  on.page.close();
  const { subscription } = await live();
  assert.equal(subscription.status, "live");
});

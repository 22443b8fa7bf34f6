// The client as a page in TypeScript uses it. It is only compiled.

import { AnswerError, collection, subscribe } from "../../diffs/static/diffs/diffs.js";
import type { Change, Collection, Diff, Mode, Row, Status, Subscription } from "../../diffs/static/diffs/diffs.js";
import { Collection as ActualCollection } from "../../diffs/static/diffs/collection.js";
import { AnswerError as ActualAnswerError } from "../../diffs/static/diffs/requests.js";
import { Subscription as ActualSubscription } from "../../diffs/static/diffs/subscription.js";

const seen: Diff[] = [];
const subscription: Subscription = subscribe("/diffs/polls.question/1/", {
  since: { "polls.question:1": "c1" },
  token: async () => ["diffs.a", "diffs.b"],
  onDiff: (diff) => seen.push(diff),
  onReset: async ({ reason, cursor, feed, received }) => console.log(reason, cursor, feed?.length, received + 1),
  onStatus({ status, mode, error, retryIn }) {
    const said: [Status, Mode | null] = [status, mode];
    if (error instanceof AnswerError) console.log(said, error.status, error.problem?.parameter, error.isFinal, retryIn);
  },
});
const position: string = subscription.cursor;
const each: Record<string, string> = subscription.cursors;
subscription.close();

const rows: Collection<number> = collection<number>(new URL("https://example.com/diffs/?feed=@polls.question:1"), {
  snapshot: async () => ({ cursor: position || each, rows: [{ model: "polls.choice", pk: 1, data: {} }] }),
  key: (model, pk) => model.length + Number(pk),
  keep: ({ data }) => data.question === 1,
  missing: async ({ pk }) => (pk === 1 ? { text: "" } : null),
  onChange: ({ renewed, keys, diffs }: Change<number>) => console.log(renewed, keys.has(1), diffs.length),
});
for (const [key, row] of rows) console.log(key + 1, (row as Row<{ text: string }>).data.text);
const stop: () => void = rows.subscribe(({ keys }) => keys.forEach((key) => rows.get(key)?.model));
rows.ready.then(() => rows.reload()).finally(stop);

// What is declared is what the code is, by its own annotations.
export const actual: [Subscription, Collection, AnswerError] = [
  new ActualSubscription("/", {}),
  new ActualCollection("/"),
  new ActualAnswerError(400, null),
];

// @ts-expect-error: a mode that there isn't.
subscribe("/", { mode: "websocket" });
// @ts-expect-error: a callback for nothing that happens.
subscribe("/", { onMessage: () => {} });

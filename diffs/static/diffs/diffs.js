// Keeps a page in step with models that are registered with django-diffs. What is exported is described in diffs.d.ts.

import { Collection } from "./collection.js";
import { Subscription } from "./subscription.js";

export { AnswerError } from "./requests.js";

/** @type {typeof import("./diffs.d.ts").subscribe} */
export function subscribe(source, options) {
  return new Subscription(source, options);
}

/** @type {typeof import("./diffs.d.ts").collection} */
export function collection(source, options) {
  return new Collection(source, options);
}

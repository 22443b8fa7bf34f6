// Keeps a page in step with models that are registered with django-diffs. What is exported is described in diffs.d.ts.
//
// The files' types come from there, too, by this package's own name. They name it with a space before the bracket:
// otherwise Django's storage of hashed files would look for a file of that name.

import { Collection } from "./collection.js";
import { Subscription } from "./subscription.js";

export { AnswerError } from "./requests.js";

/** @type {typeof import ("django-diffs").subscribe} */
export function subscribe(source, options) {
  return new Subscription(source, options);
}

/** @type {typeof import ("django-diffs").collection} */
export function collection(source, options) {
  return new Collection(source, options);
}

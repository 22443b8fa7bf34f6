/**
 * Keeps a page in step with models that are registered with django-diffs.
 *
 * Times are in milliseconds, unless a name says otherwise.
 */

/** Where a reader stands in a feed: to be handed back as it is, never to be taken apart. */
export type Cursor = string;

/**
 * A cursor; of several feeds as `Subscription.cursor` gives them, or by the names of the feeds. `"now"`: from now on;
 * empty: from the oldest diff that is kept.
 */
export type Cursors = Cursor | Record<string, Cursor>;

/** A primary key; a list where it is composite. */
export type PrimaryKey = string | number | boolean | null | (string | number | boolean | null)[];

/** Orders the diffs of an object; text from 2^53 on. */
export type Version = number | string;

/** One feed token, or several, as the endpoint's `feed_token` makes them; or whatever bearer token the site knows. */
export type Token = string | string[];

/** One committed change of one object. */
export interface Diff {
  /** The same in every feed that has the diff, and in no other diff. */
  readonly id: string;
  readonly action: "create" | "update" | "delete";
  /** Whose change it is: `"polls.choice"`. */
  readonly model: string;
  readonly pk: PrimaryKey;
  /** When Redis got it, in microseconds since the Unix epoch. */
  readonly timestamp: number;
  readonly version: Version;
  /** The changed fields' new values; empty for a deletion. A model's hook may make something else of it. */
  readonly data: any;
  /** Fields that have changed as well, whose values are too large for a diff: fetch the object to have them. */
  readonly omitted?: readonly string[];
  /** Who did it, where that is shown. */
  readonly actor?: any;
  /** Of several feeds, the one that it came in: `"polls.question:42"`. */
  readonly feed?: string;
}

/** Diffs were dropped, or couldn't be recorded, since the cursor: what was built from them must be fetched again. */
export interface Reset {
  readonly reason: "window" | "reset" | "unknown" | (string & {});
  /** From where the feed goes on. */
  readonly cursor: Cursor;
  /** Which, of several feeds. */
  readonly feed?: string;
  /** When it came, by `performance.now()`: what was asked for after that needn't be fetched again. */
  readonly received: number;
}

/** What the endpoint says where it gives no diffs (RFC 9457). */
export interface Problem {
  readonly type?: string;
  readonly title?: string;
  readonly status?: number;
  readonly detail?: string;
  /** The feed that it is about. */
  readonly feed?: string;
  /** The parameter that it is about. */
  readonly parameter?: string;
  readonly reason?: string;
  readonly cursor?: Cursor;
}

/** An answer that is neither a page nor a stream. */
export class AnswerError extends Error {
  constructor(status: number, problem: Problem | null, retryAfter?: number);
  /** Of HTTP. */
  readonly status: number;
  readonly problem: Problem | null;
  /** How long the server asks to be left alone. */
  readonly retryAfter: number;
  /** Whether asking again would bring the same. */
  get isFinal(): boolean;
}

/** How diffs come: over one connection that stays open, by requests that wait for them, or by asking now and then. */
export type Mode = "stream" | "long-poll" | "poll";

/**
 * - `"connecting"`: not there yet.
 * - `"live"`: what comes is told at once, or with the next poll.
 * - `"retrying"`: something failed, and is tried again by itself.
 * - `"paused"`: nobody looks at the page.
 * - `"refused"`: the endpoint won't give it, and asking again won't help. It is over.
 * - `"closed"`: by `close()`. It is over.
 */
export type Status = "connecting" | "live" | "retrying" | "paused" | "refused" | "closed";

export interface StatusReport {
  readonly status: Status;
  /** What worked last; null: nothing yet. */
  readonly mode: Mode | null;
  /** Why it is being tried again, or was refused. */
  readonly error?: unknown;
  /** How long until the next try. */
  readonly retryIn?: number;
}

export interface ConnectionOptions {
  /** Called where something changes about the connection. */
  onStatus?: (report: StatusReport) => void;
  /**
   * Sent in the header `Authorization`, never in an address. A function is called before the first request, and again
   * where the endpoint no longer takes the token.
   */
  token?: Token | null | (() => Token | null | Promise<Token | null>);
  /** The best mode to try; the others are what it falls back to. `"stream"` unless given. */
  mode?: Mode;
  /** How often to ask where that is all that can be done. 5,000 unless given. */
  pollEvery?: number;
  /** How long a long poll may take; the server may cut it short. 25,000 unless given. */
  wait?: number;
  /** The server's setting `heartbeat`: a stream that is silent for two and a half of them is broken. 15,000 unless given. */
  heartbeat?: number;
  /** How long the page may be hidden until the connection is given up; `Infinity`: for ever. 10,000 unless given. */
  pauseAfter?: number;
  /** The longest pause between two tries, unless the server asks for more. 30,000 unless given. */
  longestPause?: number;
  /** As `fetch` takes it: `"include"` sends cookies to another origin. */
  credentials?: RequestCredentials;
  /** Instead of the browser's own: to add headers, or to count. */
  fetch?: typeof fetch;
  /** Closes it. */
  signal?: AbortSignal;
}

export interface SubscribeOptions extends ConnectionOptions {
  /**
   * Called with each diff, once and in order. Of the changed fields it has those whose value is the newest that is
   * known: a change that comes late, behind a later one, is told without them, or not at all. Of a field in `omitted`
   * nothing that you have is the value any more.
   */
  onDiff?: (diff: Diff) => void;
  /**
   * Called where diffs may be missing: fetch again what you have. What comes until the promise is fulfilled is held
   * back. Where it is rejected, it is called again after a pause.
   */
  onReset?: (reset: Reset) => void | Promise<unknown>;
  /** Where to begin, instead of the cursors in the address; a function is called before the first request. */
  since?: Cursors | (() => Cursors | Promise<Cursors>);
}

export interface Subscription {
  /** Where the callbacks have got to: what `since` takes. Of several feeds all, with commas between. */
  readonly cursor: string;
  /** The same of several feeds, by their names in the address. */
  readonly cursors: Record<string, Cursor>;
  readonly status: Status;
  /** What worked last; null: nothing yet. */
  readonly mode: Mode | null;
  /** End it: no callback is called any more, but for a last `onStatus`. */
  close(): void;
}

/**
 * Follow a feed, or several.
 *
 * @param source The address: of an object's feed, of a model's, or `<mount>/?feed=…` of several. Or an element with the
 *   attributes that the template tag `{% diffs_feed %}` writes.
 * @throws TypeError where the address or the cursors make no sense.
 */
export function subscribe(source: string | URL | HTMLElement, options: SubscribeOptions): Subscription;

/** A row of a model. Each change makes a new one. */
export interface Row<Data = any> {
  readonly model: string;
  readonly pk: PrimaryKey;
  /** The fields' values. One that was too large for a diff is missing until the rows have been fetched again. */
  readonly data: Data;
}

/** All rows, and where the diffs go on. */
export interface Snapshot {
  /** Taken before the rows were read, so that nothing falls between. */
  cursor: Cursors;
  rows: Iterable<Row>;
}

/** What has changed in a collection. */
export interface Change<Key = any> {
  /** Whether all rows were fetched anew. */
  renewed: boolean;
  /** Whose rows changed, came or went. */
  keys: Set<Key>;
  /** Because of these; also those that are about no row of the collection. */
  diffs: Diff[];
}

export interface CollectionOptions<Key = any> extends ConnectionOptions {
  /**
   * Gives all rows, and the cursors from before they were read: a function, or an address that answers with a
   * `Snapshot` in JSON. Unless given, it is the one object that `source` is the feed of, from the endpoint itself.
   */
  snapshot?: string | URL | (() => Snapshot | Promise<Snapshot>);
  /** What a row is called; `"polls.question:42"` unless given. */
  key?: (model: string, pk: PrimaryKey) => Key;
  /** Only rows of these models; unless given, of all that come. */
  models?: string[];
  /** Whether a row belongs to the collection. One that no longer does is removed: where it goes nobody may tell. */
  keep?: (row: Row) => boolean;
  /**
   * What to do where a row changes that isn't there: it may have moved in from a feed that isn't followed. `"reload"`
   * fetches all rows again, soon, and less and less often where that doesn't bring it; `"ignore"` passes it over; a
   * function gives the row's data, or nothing. Unless given, `"reload"` where there is a `snapshot`.
   */
  missing?: "reload" | "ignore" | ((diff: Diff) => unknown);
  /** After a reset, the rows are fetched at some moment within this time, as others do so, too. 1,000 unless given. */
  spread?: number;
  /** Called where something has changed, once for all that came together. */
  onChange?: (change: Change<Key>) => void;
  /** Called with each diff, when it is in the rows. */
  onDiff?: (diff: Diff) => void;
}

/** Rows that are kept in step. Iterating gives keys with rows, as of a `Map`. */
export interface Collection<Key = any> {
  /** Fulfilled when the first rows are there; rejected where there won't be any. */
  readonly ready: Promise<void>;
  readonly size: number;
  get(key: Key): Row | undefined;
  has(key: Key): boolean;
  keys(): IterableIterator<Key>;
  values(): IterableIterator<Row>;
  [Symbol.iterator](): IterableIterator<[Key, Row]>;
  /** Have changes told to a function as well; what is returned ends it. It may be called without its collection. */
  subscribe(listener: (change: Change<Key>) => void): () => void;
  /** Fetch all rows again. */
  reload(): Promise<void>;
  readonly cursor: string;
  readonly status: Status;
  readonly mode: Mode | null;
  /** End it; the rows stay as they are. */
  close(): void;
}

/**
 * Fetch rows, and keep them in step.
 *
 * @param source As `subscribe` takes it.
 */
export function collection<Key = string>(
  source: string | URL | HTMLElement,
  options?: CollectionOptions<Key>,
): Collection<Key>;

// Follows feeds: loads a list once, then pulls what changed. Knows nothing of flights or of the page.

const POLL_EVERY = 1000;
const GIVE_UP_AFTER = 10_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;

/** The server no longer honours a cursor: the list must be loaded again. */
class Refused extends Error {}

/** The server can't answer now; `pause` is how long it asks to be left alone, in milliseconds. */
class Away extends Error {
  constructor(message, pause = 0) {
    super(message);
    this.pause = pause;
  }
}

/**
 * Load the list, then pull diffs for ever; start again where a cursor is refused, wait where the server is away.
 *
 * @param {{list: string, pull: string}} addresses Where the list is, and the pull endpoint.
 * @param {object} tell What happens is told by calling these:
 *   `onList(content)`, `onDiffs(diffs)` with the diffs of all feeds, oldest first,
 *   `onState("live" | "reconnecting")`, `onTraffic({polls, pollBytes, loads, listBytes})` in body bytes.
 */
export async function follow(addresses, tell) {
  const traffic = { polls: 0, pollBytes: 0, loads: 0, listBytes: 0 };
  let cursors = null;
  let answered = null;
  let failures = 0;

  async function load() {
    const { content, bytes } = await get(addresses.list);
    cursors = new Map(content.airports.map(({ feed, cursor }) => [feed, cursor]));
    traffic.loads += 1;
    traffic.listBytes = bytes;
    tell.onList(content);
  }

  async function poll() {
    const query = new URLSearchParams();
    for (const [feed, cursor] of cursors) query.append("feed", `${cursor}@${feed}`);
    const address = `${addresses.pull}?${query}`;
    const { content, bytes, etag } = await get(address, answered?.address === address ? answered.etag : null);
    traffic.polls += 1;
    traffic.pollBytes += bytes;
    if (!content) return false;
    answered = { address, etag };
    const refused = content.feeds.find(({ error }) => error);
    if (refused?.error.status === 410) throw new Refused(refused.error.reason);
    if (refused) throw new Away(refused.error.title);
    // A flight that was moved to another airport is in two feeds.
    const diffs = content.feeds.flatMap((page) => page.diffs).sort((one, other) => one.timestamp - other.timestamp);
    if (diffs.length) tell.onDiffs(diffs);
    for (const { feed, cursor } of content.feeds) cursors.set(feed, cursor);
    return content.feeds.some(({ more }) => more);
  }

  for (;;) {
    let pause = POLL_EVERY;
    try {
      if (!cursors) await load();
      else if (await poll()) pause = 0;
      failures = 0;
      tell.onState("live");
      tell.onTraffic(traffic);
    } catch (error) {
      if (error instanceof Refused) {
        cursors = null;
        pause = 0;
      } else {
        failures += 1;
        pause = Math.max(error.pause ?? 0, backOff(failures));
        console.warn(error);
        tell.onState("reconnecting");
      }
    }
    await rest(pause);
  }
}

async function get(address, etag) {
  const headers = etag ? { "If-None-Match": etag } : {};
  const response = await fetch(address, { headers, cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_AFTER) });
  if (response.status === 304) return { content: null, bytes: 0 };
  if (response.status === 410) throw new Refused();
  if (!response.ok) throw new Away(response.statusText, 1000 * (Number(response.headers.get("Retry-After")) || 0));
  const body = await response.arrayBuffer();
  const content = JSON.parse(new TextDecoder().decode(body));
  return { content, bytes: body.byteLength, etag: response.headers.get("ETag") };
}

/** Longer from failure to failure, and never the same for two pages, so that they don't come back all at once. */
function backOff(failures) {
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

/** Wait, but not when the network has just come back. */
function rest(milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
    addEventListener("online", done);
  });
}

// What whoever uses the client has chosen, and what goes without saying.

/**
 * @template {object} Defaults
 * @template {object} Options
 * @param {Defaults} defaults
 * @param {Options} options What is undefined there counts as not given.
 * @returns {Defaults & Options}
 */
export function withDefaults(defaults, options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return /** @type {Defaults & Options} */ ({ ...defaults, ...Object.fromEntries(given) });
}

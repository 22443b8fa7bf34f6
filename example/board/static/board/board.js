// The departures board: loads its rows once and then lives on diffs.

import { collection } from "../diffs/diffs.js";
import { HallClock } from "./clock.js";
import { put } from "./flaps.js";
import { Hall, isGone, timeOfDay } from "./hall.js";
import { Meter, Tape, counting } from "./wire.js";

const STATES = { connecting: "Loading", live: "Live", retrying: "Reconnecting", paused: "Paused", refused: "Refused" };
const MODES = { stream: "by event stream", "long-poll": "by long polls", poll: "by polls" };

const find = (selector, within = document) => within.querySelector(selector);
const read = (id) => JSON.parse(document.getElementById(id).textContent);

const addresses = read("addresses");
const cities = read("cities");
const flights = new Map();
const clock = new HallClock();
const halls = new Map();
const tabs = [...document.querySelectorAll(".tab")];
const meter = new Meter(find(".meter"));
const tape = new Tape(find("#tape"));

for (const hall of document.querySelectorAll(".hall")) {
  halls.set(hall.dataset.origin, new Hall(find(".rows", hall), cities));
}

const rows = collection(addresses.pull, {
  snapshot: load,
  key: (model, number) => number,
  models: ["board.flight"],
  // Whoever moves elsewhere is no longer told of here.
  keep: ({ data }) => halls.has(data.origin),
  pollEvery: 1000,
  longestPause: 5000,
  fetch: counting((bytes) => meter.count(bytes)),
  onStatus: tell,
  onChange({ renewed, keys, diffs }) {
    for (const number of keys) {
      const row = rows.get(number);
      if (row) flights.set(number, { ...row.data, number });
      else flights.delete(number);
    }
    for (const { data, timestamp } of diffs) {
      if (data.local_time) clock.tick(Date.parse(data.local_time), timestamp, performance.now());
    }
    if (diffs.length) meter.update();
    tape.add(diffs);
    show(renewed);
  },
});

/** The list, and where the diffs go on. */
async function load() {
  const response = await fetch(addresses.list, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`The list can't be had: ${response.status}`);
  const text = await response.text();
  const { airports, flights: list } = JSON.parse(text);
  meter.load(new TextEncoder().encode(text).length);
  const local = airports.find(({ local_time: time }) => time)?.local_time;
  if (local) clock.set(Date.parse(local));
  return {
    cursor: Object.fromEntries(airports.map(({ feed, cursor }) => [feed, cursor])),
    rows: list.map(({ number, ...data }) => ({ model: "board.flight", pk: number, data })),
  };
}

function tell({ status, mode }) {
  document.body.dataset.state = status;
  document.body.dataset.mode = mode ?? "";
  find("#link").textContent = STATES[status];
  find("#mode").textContent = status === "live" ? MODES[mode] : "";
}

function show(quiet) {
  const now = clock.read(performance.now());
  for (const [origin, hall] of halls) {
    const own = [...flights.values()].filter((flight) => flight.origin === origin);
    hall.show(own, now, quiet);
    count(find(`#tab-${origin}`), own, now);
  }
}

function count(tab, own, now) {
  const counts = { scheduled: 0, boarding: 0, delayed: 0, cancelled: 0, departed: 0 };
  for (const flight of own) counts[isGone(flight, now) || flight.status === "landed" ? "departed" : flight.status] += 1;
  const mix = Object.entries(counts).map(([status, number]) => {
    const part = find(`.${status}`, find(".tab-mix", tab)) ?? document.createElement("i");
    part.className = status;
    part.style.flexGrow = number;
    return part;
  });
  if (!find("i", tab)) find(".tab-mix", tab).append(...mix);
  const numbers = ["boarding", "delayed", "cancelled", "departed"].map((status) => {
    const span = document.createElement("span");
    const figure = document.createElement("b");
    span.className = status;
    figure.textContent = counts[status];
    span.append(figure, ` ${status}`);
    return span;
  });
  find(".tab-counts", tab).replaceChildren(...numbers);
}

function choose(tab) {
  for (const other of tabs) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
  }
  for (const hall of document.querySelectorAll(".hall")) {
    hall.toggleAttribute("data-chosen", hall.dataset.origin === tab.dataset.origin);
  }
}

tabs.forEach((tab, place) => {
  find(".tab-city", tab).textContent = cities[tab.dataset.origin] ?? "";
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (!step) return;
    const next = tabs.at((place + step) % tabs.length);
    choose(next);
    next.focus();
  });
});

const face = find("#clock");
setInterval(() => {
  const now = clock.read(performance.now());
  if (now !== null && face.textContent !== timeOfDay(now)) put(face, timeOfDay(now));
}, 100);

// The departures board: loads its rows once and then lives on diffs.

import { HallClock } from "./clock.js";
import { put } from "./flaps.js";
import { follow } from "./follow.js";
import { Hall, isGone, timeOfDay } from "./hall.js";
import { Meter, Tape } from "./wire.js";

const STATES = { loading: "Loading", live: "Live", reconnecting: "Reconnecting" };

const find = (selector, within = document) => within.querySelector(selector);
const read = (id) => JSON.parse(document.getElementById(id).textContent);

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

follow(read("addresses"), {
  onList(list) {
    flights.clear();
    for (const flight of list.flights) flights.set(flight.number, flight);
    const local = list.airports.find(({ local_time: time }) => time)?.local_time;
    if (local) clock.set(Date.parse(local));
    show(true);
  },
  onDiffs(diffs) {
    diffs.forEach(apply);
    tape.add(diffs);
    show(false);
  },
  onState(state) {
    document.body.dataset.state = state;
    const words = find("#link");
    if (words.textContent !== STATES[state]) words.textContent = STATES[state];
  },
  onTraffic: (traffic) => meter.show(traffic),
});

/** Do to the flights in memory what a diff says was done to those in the database. */
function apply({ action, model, pk, data, timestamp }) {
  if (model === "board.airport") {
    if (data.local_time) clock.tick(Date.parse(data.local_time), timestamp, performance.now());
  } else if (action === "delete") {
    flights.delete(pk);
  } else if (action === "create" || flights.has(pk)) {
    flights.set(pk, { ...flights.get(pk), ...data, number: pk });
  }
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

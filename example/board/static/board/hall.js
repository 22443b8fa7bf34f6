// One airport's board: turns flights into rows, keeps them in order, and turns the flaps where something changed.

import { put, still, turn } from "./flaps.js";

const IN_SIGHT = 5 * 60_000; // How long a departed flight keeps its place, in the hall's time.
const FLASH_TIME = 2400;
const ARRIVAL = [{ opacity: 0, transform: "rotateX(-70deg)" }, {}];
const COLUMNS = ["scheduled", "destination", "flight", "airline", "expected", "remark"];

const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "America/New_York" });

/** A time as travellers read it, in New York. */
export function timeOfDay(milliseconds) {
  return hours.format(milliseconds);
}

/** The words of a row, by column. */
function words(flight, cities) {
  const scheduled = timeOfDay(Date.parse(flight.scheduled));
  const expected = timeOfDay(Date.parse(flight.expected));
  return {
    scheduled,
    destination: cities[flight.destination] ?? flight.destination,
    flight: flight.number.replace(/^(..)/, "$1 "),
    airline: flight.airline.replace(/ (Inc\.|Co\.|Corporation)$/, ""),
    expected: expected === scheduled ? "" : expected,
    remark: remark(flight),
  };
}

function remark({ status, landed_at: landedAt }) {
  if (status === "scheduled") return "";
  if (status === "landed" && landedAt) return `landed ${timeOfDay(Date.parse(landedAt))}`;
  return status;
}

/** Whether a flight is out of sight: it left, and not just now. */
export function isGone({ status, expected }, now) {
  const left = status === "departed" || status === "landed";
  return left && (now === null || now - Date.parse(expected) > IN_SIGHT);
}

export class Hall {
  #rows = new Map();
  #list;
  #cities;
  #parting;

  /**
   * @param {HTMLElement} list The element that holds the rows.
   * @param {Record<string, string>} cities The names of the airports.
   */
  constructor(list, cities) {
    this.#list = list;
    this.#cities = cities;
    this.#parting = document.createElement("div");
    this.#parting.className = "parting";
    this.#parting.setAttribute("role", "row");
    const words = document.createElement("span");
    words.setAttribute("role", "cell");
    words.textContent = "Departed";
    this.#parting.append(words);
  }

  /**
   * Show these flights, and no others.
   *
   * @param {object[]} flights The flights of this airport.
   * @param {number|null} now The hall's time.
   * @param {boolean} quiet Whether to show them at once: nothing has changed before the reader's eyes.
   */
  show(flights, now, quiet) {
    const numbers = new Set(flights.map(({ number }) => number));
    for (const [number, row] of this.#rows) if (!numbers.has(number)) this.#remove(number, row);
    for (const flight of flights) this.#showOne(flight, quiet);
    this.#arrange(flights, now);
  }

  #showOne(flight, quiet) {
    let row = this.#rows.get(flight.number);
    if (row?.flight === flight) return;
    const texts = words(flight, this.#cities);
    const isNew = !row;
    if (isNew) {
      row = this.#make(flight.number, quiet);
      this.#rows.set(flight.number, row);
    }
    row.flight = flight;
    row.element.dataset.status = flight.status;
    row.element.toggleAttribute("data-late", Date.parse(flight.expected) > Date.parse(flight.scheduled));
    for (const name of COLUMNS) {
      if (row.texts[name] === texts[name]) continue;
      if (isNew || quiet) put(row.cells[name], texts[name]);
      else {
        turn(row.cells[name], texts[name]);
        flash(row.cells[name]);
      }
    }
    row.texts = texts;
  }

  #make(number, quiet) {
    const element = document.createElement("div");
    element.className = "row";
    element.setAttribute("role", "row");
    element.dataset.number = number;
    const cells = {};
    for (const name of COLUMNS) {
      cells[name] = document.createElement("span");
      cells[name].className = `flaps c-${name}`;
      cells[name].setAttribute("role", "cell");
      element.append(cells[name]);
    }
    if (!quiet && !still.matches) element.animate(ARRIVAL, { duration: 700, easing: "ease-out" });
    return { element, cells, texts: {}, flight: null };
  }

  #remove(number, row) {
    row.element.remove();
    this.#rows.delete(number);
  }

  /** Who is still to leave by the timetable, then who has left, the latest first. */
  #arrange(flights, now) {
    const due = flights.filter((flight) => !isGone(flight, now)).sort(byTimetable);
    const gone = flights.filter((flight) => isGone(flight, now)).sort(byDeparture);
    const elements = due.map(({ number }) => this.#rows.get(number).element);
    if (gone.length) elements.push(this.#parting, ...gone.map(({ number }) => this.#rows.get(number).element));
    else this.#parting.remove();
    let place = this.#list.firstElementChild;
    for (const element of elements) {
      if (element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(element, place);
    }
  }
}

function byTimetable(one, other) {
  return Date.parse(one.scheduled) - Date.parse(other.scheduled) || (one.number < other.number ? -1 : 1);
}

function byDeparture(one, other) {
  return Date.parse(other.expected) - Date.parse(one.expected) || (one.number < other.number ? -1 : 1);
}

/** Light up a cell for a while. */
function flash(cell) {
  cell.classList.add("changed");
  const light = cell.animate({ opacity: [1, 1, 0] }, { duration: FLASH_TIME, easing: "ease-out", pseudoElement: "::before" });
  light.onfinish = () => cell.classList.remove("changed");
}

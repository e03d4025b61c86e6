import type { Language } from './api';

/** A series in time, or along another axis, as it is drawn: in pixels, with a part for each stretch without gap. */
export interface Curve {
  readonly parts: readonly (readonly Point[])[];
  readonly across: readonly Tick[];
  readonly up: readonly Tick[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly at: number;
}

export interface Tick {
  readonly place: number;
  readonly text: string;
}

export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly bottom: number;
}

/** Where the points of a series lie, with ticks at round numbers and at dates; undefined where nothing was observed. */
export function planCurve(
  times: readonly string[],
  values: readonly (number | null)[],
  frame: Frame,
  language: Language
): Curve | undefined {
  const dated = times.every(time => /^\d{4}-\d\d/.test(time));
  const moments = times.map((time, at) => (dated ? Date.parse(time) : at));
  const seen = values.flatMap((value, at) => (value !== null && Number.isFinite(moments[at]) ? [{ value, at }] : []));
  if (seen.length === 0) {
    return undefined;
  }
  const [first, last] = widen(...ends(seen.map(each => moments[each.at])), dated ? 86_400_000 : 1);
  const [low, high] = widen(...ends(seen.map(each => each.value)), 0.5);
  const marks = roundNumbers(low, high, 4);
  const [bottom, top] = [Math.min(low, marks[0]), Math.max(high, marks[marks.length - 1])];
  const x = (moment: number) => frame.left + ((moment - first) / (last - first)) * (frame.width - frame.left - PAD);
  const y = (value: number) => PAD + (1 - (value - bottom) / (top - bottom)) * (frame.height - frame.bottom - PAD);
  return {
    parts: split(seen.map(({ value, at }) => ({ x: x(moments[at]), y: y(value), at }))),
    across: (dated ? dates(first, last, language) : labels(times, first, last)).map(([moment, text]) => ({
      place: x(moment),
      text
    })),
    up: marks.map(mark => ({ place: y(mark), text: sayMark(mark, marks[1] - marks[0], language) }))
  };
}

/** Numbers that people count in, which span both ends. */
export function roundNumbers(low: number, high: number, count: number): readonly number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (STEPS.find(each => each * power >= rough) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}

const PAD = 8;
const STEPS = [1, 2, 2.5, 5, 10];
const TICKS = 4;

function ends(values: readonly number[]): [number, number] {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

/** Two ends that are some way apart: a line of one value is drawn in the middle. */
function widen(low: number, high: number, by: number): [number, number] {
  const size = Math.max(Math.abs(low), Math.abs(high));
  const apart = Math.max(by, size * 1e-6);
  return high - low > 1e-12 * Math.max(size, 1e-200) ? [low, high] : [low - apart, high + apart];
}

/** A point that has no neighbour in time stays a part of its own: it is drawn as a dot. */
function split(points: readonly Point[]): readonly (readonly Point[])[] {
  const parts: Point[][] = [];
  for (const point of points) {
    const part = parts[parts.length - 1];
    if (part !== undefined && part[part.length - 1].at === point.at - 1) {
      part.push(point);
    } else {
      parts.push([point]);
    }
  }
  return parts;
}

function dates(first: number, last: number, language: Language): [number, string][] {
  const days = (last - first) / 86_400_000;
  const form: Intl.DateTimeFormatOptions =
    days > 1500
      ? { year: 'numeric' }
      : days > 90
        ? { year: 'numeric', month: 'short' }
        : { day: 'numeric', month: 'short' };
  const say = new Intl.DateTimeFormat(language, { ...form, timeZone: 'UTC' });
  const said = Array.from({ length: TICKS }, (_, at): [number, string] => {
    const moment = first + ((last - first) * at) / (TICKS - 1);
    return [moment, say.format(moment)];
  });
  return said.filter(([, text], at) => at === 0 || text !== said[at - 1][1]);
}

/** Of an axis that is not time: what its first and its last step are called. */
function labels(times: readonly string[], first: number, last: number): [number, string][] {
  return [...new Set([Math.max(0, first), Math.min(times.length - 1, last)])].map(at => [at, times[at]]);
}

function sayMark(mark: number, step: number, language: Language): string {
  const digits = Math.max(
    0,
    Math.min(12, -Math.floor(Math.log10(step)) + (step / 10 ** Math.floor(Math.log10(step)) === 2.5 ? 1 : 0))
  );
  return Math.abs(mark) >= 1e6 || (Math.abs(mark) < 1e-4 && mark !== 0)
    ? mark.toExponential(1)
    : new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(mark);
}

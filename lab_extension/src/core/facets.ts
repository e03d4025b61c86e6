import { judging, LACKS, type Narrowing, type Row } from './rows';

export type Unit = 'day' | 'month' | 'year';

/** How many rows there are of each name, most first. */
export type Counts = readonly (readonly [string, number])[];

export interface Facets {
  readonly total: number;
  readonly collections: Counts;
  readonly platforms: Counts;
  readonly instruments: Counts;
  readonly histogram: Histogram;
}

/** Rows a unit of time, without gaps from the first to the last; each key begins the ISO date of its rows. */
export interface Histogram {
  readonly unit: Unit;
  readonly bins: Counts;
}

const DAYS = 62;
const YEARS = 6;
const LENGTH: Record<Unit, number> = { year: 4, month: 7, day: 10 };

/** Counts of what is wanted; each facet as if nothing of itself were chosen. */
export function countFacets(rows: readonly Row[], narrowing: Narrowing): Facets {
  const collections = new Map<string, number>();
  const platforms = new Map<string, number>();
  const instruments = new Map<string, number>();
  const dated: string[] = [];
  const judge = judging(narrowing);
  let total = 0;
  for (const row of rows) {
    const lacks = judge(row);
    total += lacks === 0 ? 1 : 0;
    if ((lacks & ~LACKS.collections) === 0) {
      count(collections, row.collection);
    }
    if ((lacks & ~LACKS.platforms) === 0) {
      count(platforms, row.platform);
    }
    if ((lacks & ~LACKS.instruments) === 0) {
      row.instruments.forEach(name => count(instruments, name));
    }
    if ((lacks & ~LACKS.time) === 0) {
      dated.push(row.start);
    }
  }
  return {
    total,
    collections: mostFirst(collections),
    platforms: mostFirst(platforms),
    instruments: mostFirst(instruments),
    histogram: countTimes(dated)
  };
}

/** How many moments lie in each day, month or year, by the length of time they span. */
export function countTimes(moments: readonly string[]): Histogram {
  if (moments.length === 0) {
    return { unit: 'day', bins: [] };
  }
  let [first, last] = [moments[0], moments[0]];
  for (const moment of moments) {
    first = moment < first ? moment : first;
    last = moment > last ? moment : last;
  }
  const unit = chooseUnit(first, last);
  const counts = new Map<string, number>(
    spanKeys(first.slice(0, LENGTH[unit]), last.slice(0, LENGTH[unit]), unit).map(key => [key, 0])
  );
  moments.forEach(moment => count(counts, moment.slice(0, LENGTH[unit])));
  return { unit, bins: [...counts] };
}

/** Every key from one to another, both included. */
export function spanKeys(first: string, last: string, unit: Unit): string[] {
  const keys: string[] = [];
  const [year, month, day] = [
    Number(first.slice(0, 4)),
    Number(first.slice(5, 7) || '1'),
    Number(first.slice(8, 10) || '1')
  ];
  for (let step = 0; keys[keys.length - 1] !== last && step < 20_000; step++) {
    const at = new Date(0);
    at.setUTCFullYear(
      year + (unit === 'year' ? step : 0),
      month - 1 + (unit === 'month' ? step : 0),
      day + (unit === 'day' ? step : 0)
    );
    keys.push(at.toISOString().slice(0, LENGTH[unit]));
  }
  return keys;
}

/** The period of a stretch of bins, as `time=` takes it. */
export function periodOf(bins: Counts, from: number, to: number): string {
  const [first, last] = [bins[Math.min(from, to)][0], bins[Math.max(from, to)][0]];
  return first === last ? first : `${first}/${last}`;
}

function chooseUnit(first: string, last: string): Unit {
  const days = (Date.parse(last.slice(0, 10)) - Date.parse(first.slice(0, 10))) / 86_400_000;
  return days < DAYS ? 'day' : Number(last.slice(0, 4)) - Number(first.slice(0, 4)) < YEARS ? 'month' : 'year';
}

function count(counts: Map<string, number>, name: string): void {
  if (name !== '') {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
}

function mostFirst(counts: ReadonlyMap<string, number>): Counts {
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

/** An item of an answer, short. */
export interface Row {
  readonly id: string;
  readonly collection: string;
  readonly endpoint: string;
  readonly start: string;
  readonly end: string;
  readonly bbox: readonly [number, number, number, number] | null;
  readonly ring: readonly (readonly [number, number])[] | null;
  readonly platform: string;
  readonly instruments: readonly string[];
  readonly cloud: number | null;
  readonly licence: string;
  readonly title: string;
  readonly thumbnail: string | null;
  readonly simulated: boolean;
}

/** What became of a question at one catalogue. */
export interface Outcome {
  readonly endpoint: string;
  readonly state: 'answered' | 'slow' | 'failed' | 'refused';
  readonly items: number;
  readonly seconds: number;
  readonly message: string;
}

/** What narrows a list that is there already, without asking anybody. */
export interface Narrowing {
  readonly collections: ReadonlySet<string>;
  readonly platforms: ReadonlySet<string>;
  readonly instruments: ReadonlySet<string>;
  readonly from?: string;
  readonly to?: string;
  readonly maxCloud?: number;
  readonly words: string;
}

export const NOTHING_NARROWED: Narrowing = {
  collections: new Set(),
  platforms: new Set(),
  instruments: new Set(),
  words: ''
};

/** What a row lacks of what is wanted: a bit for each of these, and none for a row that is kept. */
export const LACKS = { collections: 1, platforms: 2, instruments: 4, time: 8, other: 16 } as const;

/** How rows are judged: what each of them lacks of what is wanted, as bits of `LACKS`. */
export function judging(narrowing: Narrowing): (row: Row) => number {
  const { collections, platforms, instruments, from, to, maxCloud } = narrowing;
  const words = fold(narrowing.words).split(/\s+/).filter(Boolean);
  const lacks = (names: ReadonlySet<string>, name: string) => names.size > 0 && !names.has(name);
  return row =>
    (lacks(collections, row.collection) ? LACKS.collections : 0) |
    (lacks(platforms, row.platform) ? LACKS.platforms : 0) |
    (instruments.size > 0 && !row.instruments.some(name => instruments.has(name)) ? LACKS.instruments : 0) |
    ((from !== undefined && row.start.slice(0, from.length) < from) ||
    (to !== undefined && row.start.slice(0, to.length) > to)
      ? LACKS.time
      : 0) |
    ((maxCloud !== undefined && row.cloud !== null && row.cloud > maxCloud) ||
    (words.length > 0 && !words.every(word => foldedOf(row).includes(word)))
      ? LACKS.other
      : 0);
}

export function narrow(rows: readonly Row[], narrowing: Narrowing): readonly Row[] {
  const lacks = judging(narrowing);
  return narrowing === NOTHING_NARROWED ? rows : rows.filter(row => lacks(row) === 0);
}

/** Rows in order of time, the newest first; of one moment by their names. */
export function sortRows(rows: readonly Row[]): Row[] {
  return [...rows].sort((a, b) => (a.start < b.start ? 1 : a.start > b.start ? -1 : a.id < b.id ? -1 : 1));
}

/** What has to be drawn of a long list: the first and the one after the last, with some around what is seen. */
export function visible(
  count: number,
  height: number,
  scrolled: number,
  shown: number,
  around = 8
): readonly [number, number] {
  const first = Math.max(0, Math.floor(scrolled / height) - around);
  const last = Math.min(count, Math.ceil((scrolled + shown) / height) + around);
  return [Math.min(first, Math.max(0, last)), last];
}

/** A letter without accent and case: people type neither. */
export function fold(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

const folded = new WeakMap<Row, string>();

/** What words are looked for in, made once a row: a list of thousands is searched at each key. */
function foldedOf(row: Row): string {
  let text = folded.get(row);
  if (text === undefined) {
    text = fold(`${row.id} ${row.collection} ${row.title}`);
    folded.set(row, text);
  }
  return text;
}

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

/** Whether a row is among what is wanted; `but` leaves one facet out, so that its own counts show what else there is. */
export function keeps(narrowing: Narrowing, row: Row, but?: keyof Narrowing): boolean {
  const has = (names: ReadonlySet<string>, name: string) => names.size === 0 || names.has(name);
  return (
    (but === 'collections' || has(narrowing.collections, row.collection)) &&
    (but === 'platforms' || has(narrowing.platforms, row.platform)) &&
    (but === 'instruments' ||
      narrowing.instruments.size === 0 ||
      row.instruments.some(name => narrowing.instruments.has(name))) &&
    (but === 'maxCloud' || narrowing.maxCloud === undefined || row.cloud === null || row.cloud <= narrowing.maxCloud) &&
    (but === 'from' ||
      ((narrowing.from === undefined || row.start.slice(0, narrowing.from.length) >= narrowing.from) &&
        (narrowing.to === undefined || row.start.slice(0, narrowing.to.length) <= narrowing.to))) &&
    (narrowing.words === '' || says(row, narrowing.words))
  );
}

export function narrow(rows: readonly Row[], narrowing: Narrowing): readonly Row[] {
  return narrowing === NOTHING_NARROWED ? rows : rows.filter(row => keeps(narrowing, row));
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

function says(row: Row, words: string): boolean {
  const text = fold(`${row.id} ${row.collection} ${row.title}`);
  return fold(words)
    .split(/\s+/)
    .every(word => text.includes(word));
}

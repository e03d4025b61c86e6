import fc from 'fast-check';
import { countFacets, countTimes, periodOf, spanKeys } from '../src/core/facets';
import { judging, narrow, NOTHING_NARROWED, sortRows, visible, type Row } from '../src/core/rows';

export const row = (id: string, more: Partial<Row> = {}): Row => ({
  id,
  collection: 'a',
  endpoint: 'lab',
  start: '2018-07-08T10:50:00+00:00',
  end: '2018-07-08T10:50:00+00:00',
  bbox: null,
  ring: null,
  platform: 'sentinel-2a',
  instruments: ['msi'],
  cloud: 10,
  licence: '',
  title: '',
  thumbnail: null,
  simulated: false,
  ...more
});

const ROWS = fc.array(
  fc.record({
    collection: fc.constantFrom('a', 'b', 'c'),
    platform: fc.constantFrom('s2a', 's2b', ''),
    month: fc.integer({ min: 1, max: 12 }),
    cloud: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null })
  }),
  { maxLength: 60 }
);
const made = (list: readonly { collection: string; platform: string; month: number; cloud: number | null }[]) =>
  list.map(({ month, ...each }, at) =>
    row(`i${at}`, { ...each, start: `2018-${String(month).padStart(2, '0')}-01T00:00:00Z` })
  );

test('each facet counts what there would be if nothing of itself were chosen', () => {
  fc.assert(
    fc.property(ROWS, fc.subarray(['a', 'b', 'c']), (list, chosen) => {
      const rows = made(list);
      const narrowing = { ...NOTHING_NARROWED, collections: new Set(chosen) };
      const facets = countFacets(rows, narrowing);
      expect(facets.total).toBe(narrow(rows, narrowing).length);
      for (const [name, count] of facets.collections) {
        expect(count).toBe(rows.filter(each => each.collection === name).length);
      }
      const sum = facets.histogram.bins.reduce((all, [, count]) => all + count, 0);
      expect(sum).toBe(facets.total);
    })
  );
});

test('of several facets at once, each counts by all of the others', () => {
  const months = fc.constantFrom(undefined, '2018-03', '2018-06', '2018-09');
  fc.assert(
    fc.property(
      ROWS,
      fc.subarray(['a', 'b', 'c']),
      fc.subarray(['s2a', 's2b']),
      fc.tuple(months, months, fc.constantFrom(undefined, 30), fc.constantFrom('', 'i1')),
      (list, collections, platforms, [from, to, maxCloud, words]) => {
        const rows = made(list);
        const tests: Record<string, (each: Row) => boolean> = {
          collections: each => collections.length === 0 || collections.includes(each.collection),
          platforms: each => platforms.length === 0 || platforms.includes(each.platform),
          from: each => (from ?? '') <= each.start.slice(0, 7) && each.start.slice(0, 7) <= (to ?? '9'),
          cloud: each => maxCloud === undefined || each.cloud === null || each.cloud <= maxCloud,
          words: each => each.id.includes(words)
        };
        const kept = (but: string) =>
          rows.filter(each => Object.entries(tests).every(([name, holds]) => name === but || holds(each)));
        const sum = (counts: readonly (readonly [string, number])[]) =>
          counts.reduce((all, [, count]) => all + count, 0);
        const narrowing = {
          ...NOTHING_NARROWED,
          collections: new Set(collections),
          platforms: new Set(platforms),
          from,
          to,
          maxCloud,
          words
        };
        const facets = countFacets(rows, narrowing);
        expect(narrow(rows, narrowing)).toEqual(kept(''));
        expect(facets.total).toBe(kept('').length);
        expect(sum(facets.collections)).toBe(kept('collections').length);
        expect(sum(facets.platforms)).toBe(kept('platforms').filter(each => each.platform !== '').length);
        expect(sum(facets.histogram.bins)).toBe(kept('from').length);
      }
    )
  );
});

test('what states no cloud is kept, as the library does', () => {
  const narrowing = { ...NOTHING_NARROWED, maxCloud: 5 };
  const lacks = judging(narrowing);
  expect(lacks(row('x', { cloud: null }))).toBe(0);
  expect(lacks(row('x', { cloud: 6 }))).not.toBe(0);
});

test('words are found without accents and case', () => {
  expect(narrow([row('Étang-de-THAU'), row('autre')], { ...NOTHING_NARROWED, words: 'etang thau' })).toHaveLength(1);
});

test('bins are days, months or years, without gaps', () => {
  expect(countTimes(['2018-07-01T00:00:00Z', '2018-07-03T00:00:00Z'])).toEqual({
    unit: 'day',
    bins: [
      ['2018-07-01', 1],
      ['2018-07-02', 0],
      ['2018-07-03', 1]
    ]
  });
  expect(countTimes(['2017-11-30T00:00:00Z', '2018-02-01T00:00:00Z']).bins.map(([key]) => key)).toEqual([
    '2017-11',
    '2017-12',
    '2018-01',
    '2018-02'
  ]);
  expect(countTimes(['1984-01-01T00:00:00Z', '1994-01-01T00:00:00Z']).bins).toHaveLength(11);
  expect(countTimes([]).bins).toEqual([]);
  expect(spanKeys('2018-01-31', '2018-03-01', 'day')).toHaveLength(30);
});

test('a stretch is a period, whichever way it was drawn', () => {
  const bins = [
    ['2018-01', 1],
    ['2018-02', 0],
    ['2018-03', 1]
  ] as const;
  expect(periodOf(bins, 2, 0)).toBe('2018-01/2018-03');
  expect(periodOf(bins, 1, 1)).toBe('2018-02');
});

test('of a long list so much is drawn as is seen, and some around', () => {
  fc.assert(
    fc.property(fc.nat(20_000), fc.nat(1_000_000), fc.integer({ min: 1, max: 2000 }), (count, scrolled, shown) => {
      const [first, last] = visible(count, 56, scrolled, shown);
      expect(first).toBeGreaterThanOrEqual(0);
      expect(last).toBeLessThanOrEqual(count);
      expect(last - first).toBeLessThanOrEqual(Math.ceil(shown / 56) + 18);
      for (let at = 0; at < count && at < 500; at++) {
        const seen = at * 56 < scrolled + shown && (at + 1) * 56 > scrolled;
        expect(!seen || (at >= first && at < last)).toBe(true);
      }
    })
  );
});

test('the newest are first', () => {
  const rows = [row('b'), row('a'), row('c', { start: '2019-01-01T00:00:00Z' })];
  expect(sortRows(rows).map(each => each.id)).toEqual(['c', 'a', 'b']);
});

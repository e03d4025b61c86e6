import fc from 'fast-check';
import {
  ask,
  fromLink,
  isEmpty,
  isSame,
  parseQuestion,
  toggle,
  toLink,
  without,
  type Question
} from '../src/core/question';

const NAMES = fc.array(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }), { minLength: 1, maxLength: 4 });
const QUESTIONS: fc.Arbitrary<Question> = fc.record(
  {
    collections: NAMES,
    bbox: fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer()) as unknown as fc.Arbitrary<
      readonly [number, number, number, number]
    >,
    time: fc.string({ minLength: 1 }),
    max_cloud: fc.integer({ min: 0, max: 100 }),
    place: fc.string({ minLength: 1 }),
    platform: NAMES
  },
  { requiredKeys: [] }
);

test('a question survives the link that carries it', () => {
  fc.assert(
    fc.property(QUESTIONS, question => {
      expect(fromLink(toLink(question))).toEqual(question);
      expect(toLink(question)).toMatch(/^[A-Za-z0-9_-]*$/);
    })
  );
});

test('a link that holds no question is none, whatever it is', () => {
  fc.assert(
    fc.property(fc.string(), text => {
      const found = fromLink(text);
      expect(found === undefined || typeof found === 'object').toBe(true);
    })
  );
  expect(fromLink('###')).toBeUndefined();
  expect(fromLink(btoa('"text"'))).toEqual({});
});

test('of what others wrote only words of the right form are taken', () => {
  const said = {
    collections: ['a', 7],
    bbox: [1, 2, 3],
    time: '',
    max_cloud: 101,
    place: '<b>',
    __proto__: {},
    extra: 1
  };
  expect(parseQuestion(said)).toEqual({ place: '<b>' });
  expect(parseQuestion(null)).toEqual({});
});

test('one place replaces another, and nothing asked is nothing said', () => {
  const placed = ask({ time: '2018' }, { place: 'Toulouse' });
  expect(ask(placed, { bbox: [1, 2, 3, 4] })).toEqual({ time: '2018', bbox: [1, 2, 3, 4] });
  expect(ask(placed, { time: undefined, place: '' })).toEqual({});
  expect(isEmpty(without(placed, 'time', 'place'))).toBe(true);
});

test('a name that is toggled twice is as before', () => {
  const once = toggle({}, 'platform', 's2');
  expect(once).toEqual({ platform: ['s2'] });
  expect(toggle(once, 'platform', 's2')).toEqual({});
  expect(isSame(once, { platform: ['s2'] })).toBe(true);
});

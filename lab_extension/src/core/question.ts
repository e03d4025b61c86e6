/** What is searched, as `Query.to_json` of the library writes it: what was not asked is not there. */
export interface Question {
  readonly collections?: readonly string[];
  readonly bbox?: Box;
  readonly geometry?: Area;
  readonly time?: string;
  readonly ids?: readonly string[];
  readonly max_cloud?: number;
  readonly place?: string;
  readonly theme?: string;
  readonly platform?: readonly string[];
  readonly instrument?: readonly string[];
}

/** West, south, east, north in degrees; west of east but where the date line is crossed. */
export type Box = readonly [number, number, number, number];

export interface Area {
  readonly type: 'Polygon' | 'MultiPolygon';
  readonly coordinates: readonly unknown[];
}

type Word = keyof Question;

const WORDS: readonly Word[] = [
  'collections',
  'bbox',
  'geometry',
  'time',
  'ids',
  'max_cloud',
  'place',
  'theme',
  'platform',
  'instrument'
];
const WHERE: readonly Word[] = ['bbox', 'geometry', 'place'];

/** The question with some words said anew; what is undefined, or an empty list, is not asked any more. */
export function ask(question: Question, words: Partial<Question>): Question {
  const said = WHERE.some(word => word in words) ? without(question, ...WHERE) : question;
  const merged: Record<string, unknown> = { ...said, ...words };
  const kept = WORDS.filter(word => isAsked(merged[word])).map(word => [word, merged[word]]);
  return Object.fromEntries(kept) as Question;
}

export function without(question: Question, ...words: Word[]): Question {
  return Object.fromEntries(Object.entries(question).filter(([word]) => !words.includes(word as Word))) as Question;
}

/** The list of a word with a name added, or taken away where it stands there. */
export function toggle(question: Question, word: 'collections' | 'platform' | 'instrument', name: string): Question {
  const names = question[word] ?? [];
  return ask(question, { [word]: names.includes(name) ? names.filter(each => each !== name) : [...names, name] });
}

export function isEmpty(question: Question): boolean {
  return Object.keys(question).length === 0;
}

export function isSame(one: Question, other: Question): boolean {
  return canonical(one) === canonical(other);
}

/** Parts of an address that hold the question, for a link that others can open. */
export function toLink(question: Question): string {
  const bytes = new TextEncoder().encode(canonical(question));
  const text = Array.from(bytes, byte => String.fromCharCode(byte)).join('');
  return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

/** The question of a link; undefined for what is none: whoever sent it may have written anything. */
export function fromLink(link: string): Question | undefined {
  try {
    const text = atob(link.replace(/-/g, '+').replace(/_/g, '/'));
    const bytes = Uint8Array.from(text, letter => letter.charCodeAt(0));
    return parseQuestion(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch {
    return undefined;
  }
}

/** The words of a value that have the form they should have; all others are left out. */
export function parseQuestion(value: unknown): Question {
  const said = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const kept = WORDS.filter(word => word in said && FORMS[word](said[word])).map(word => [word, said[word]]);
  return Object.fromEntries(kept) as Question;
}

const isText = (value: unknown): boolean => typeof value === 'string' && value.length > 0 && value.length <= 300;
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const isList = (value: unknown, item: (each: unknown) => boolean): boolean =>
  Array.isArray(value) && value.length > 0 && value.length <= 1000 && value.every(item);
const isNames = (value: unknown): boolean => isList(value, isText);

const FORMS: Record<Word, (value: unknown) => boolean> = {
  collections: isNames,
  bbox: value => isList(value, isNumber) && (value as unknown[]).length === 4,
  geometry: value => ['Polygon', 'MultiPolygon'].includes((value as Area)?.type),
  time: isText,
  ids: isNames,
  max_cloud: value => isNumber(value) && (value as number) >= 0 && (value as number) <= 100,
  place: isText,
  theme: isText,
  platform: isNames,
  instrument: isNames
};

function isAsked(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
}

function canonical(question: Question): string {
  return JSON.stringify(Object.fromEntries(WORDS.filter(word => word in question).map(word => [word, question[word]])));
}

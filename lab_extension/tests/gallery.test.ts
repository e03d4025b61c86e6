import { type Card, Gallery, initials, keepCards, polesOf, shortTitle } from '../src/core/gallery';
import { Refusal } from '../src/core/refusal';

const both = (fr: string, en = '') => ({ fr, en });

function card(id: string, more: Partial<Card> = {}): Card {
  return {
    id,
    pole: id.split('/')[0],
    pole_title: both(id.startsWith('theia') ? 'THEIA – surfaces continentales' : 'ODATIS – océan'),
    title: both(id),
    question: both(''),
    summary: both(''),
    level: 'début',
    minutes: 10,
    languages: ['fr'],
    picture: false,
    ...more
  };
}

const CARDS = [
  card('theia/neige', { title: both('Neige', 'Snow'), question: both('Jusqu’où descend-elle ?', 'How far down?') }),
  card('theia/glacier', { level: 'avancé', summary: both('Un glacier coule.', 'A glacier flows.') }),
  card('odatis/plage', { title: both('Été à la plage') })
];

describe('what is kept of the cards', () => {
  const ids = (wanted: Parameters<typeof keepCards>[1], language: 'fr' | 'en' = 'fr') =>
    keepCards(CARDS, wanted, language).map(each => each.id);

  it('is everything where nothing is wanted', () => {
    expect(ids({ words: '  ' })).toHaveLength(3);
  });
  it('is what has the pole, the level and every word', () => {
    expect(ids({ words: '', pole: 'theia' })).toEqual(['theia/neige', 'theia/glacier']);
    expect(ids({ words: '', pole: 'theia', level: 'avancé' })).toEqual(['theia/glacier']);
    expect(ids({ words: 'theia coule' })).toEqual(['theia/glacier']);
    expect(ids({ words: 'theia plage' })).toEqual([]);
  });
  it('is found without accents and capitals, in the language that is read', () => {
    expect(ids({ words: 'ete' })).toEqual(['odatis/plage']);
    expect(ids({ words: 'SNOW' }, 'en')).toEqual(['theia/neige']);
    expect(ids({ words: 'snow' }, 'fr')).toEqual([]);
  });
});

describe('a pole', () => {
  it('is listed once, in the order of the cards', () => {
    expect(polesOf(CARDS).map(each => each.id)).toEqual(['theia', 'odatis']);
  });
  it('has a short title and initials', () => {
    expect(shortTitle('THEIA – surfaces continentales')).toBe('THEIA');
    expect(initials('THEIA – surfaces continentales')).toBe('THE');
    expect(initials('ForM@Ter – terre solide')).toBe('FMT');
    expect(initials('Pour commencer')).toBe('POU');
    expect(initials('')).toBe('');
  });
});

describe('the gallery', () => {
  it('reads the cards and keeps them where they cannot be read again', async () => {
    const answers = [Promise.resolve(CARDS), Promise.reject(new Refusal('Unreachable', '', ''))];
    const gallery = new Gallery({ get: () => answers.shift() as never, post: jest.fn() });
    await gallery.read();
    expect(gallery.shown.get()).toMatchObject({ state: 'there', cards: CARDS });
    await gallery.read();
    expect(gallery.shown.get()).toMatchObject({ state: 'refused', cards: CARDS, refusal: { code: 'Unreachable' } });
  });

  it('asks for a copy by the id, one at a time', async () => {
    const asked: unknown[] = [];
    let answer: (path: { path: string }) => void = () => undefined;
    const post = (path: string, body: unknown) => {
      asked.push([path, body]);
      return new Promise(resolve => (answer = resolve)) as never;
    };
    const gallery = new Gallery({ get: jest.fn(), post });
    const copied = gallery.copy('theia/neige');
    expect(gallery.shown.get().copying).toBe('theia/neige');
    expect(await gallery.copy('theia/glacier')).toBeUndefined();
    answer({ path: 'notebooks/theia/neige-copie.ipynb' });
    expect(await copied).toBe('notebooks/theia/neige-copie.ipynb');
    expect(asked).toEqual([['gallery/copy', { id: 'theia/neige' }]]);
    expect(gallery.shown.get().copying).toBeUndefined();
  });

  it('shows why there is no copy', async () => {
    const refusal = new Refusal('SetupError', 'Plus de place.', 'Effacez.');
    const gallery = new Gallery({ get: jest.fn(), post: () => Promise.reject(refusal) });
    expect(await gallery.copy('theia/neige')).toBeUndefined();
    expect(gallery.shown.get()).toMatchObject({ refusal, copying: undefined });
  });
});

import { type Attended, count, planAgenda, type Seat, Workshop } from '../src/core/workshop';
import { Refusal } from '../src/core/refusal';

const SEAT: Seat = {
  slug: 'neige',
  number: 7,
  title: { fr: 'Neige', en: 'Snow' },
  contact: 'a@example.org',
  stage: 'open',
  closes: 2000,
  now: 1000,
  unlocked: 1,
  cells: 'ddf..',
  lessons: [
    { path: 'theia/neige.ipynb', part: 1, cells: 3 },
    { path: 'theia/glacier.ipynb', part: 2, cells: 2 }
  ],
  error: 'KeyError',
  hand: null,
  messages: [{ number: 1, text: 'Bonjour' }],
  pushed: [],
  help: null,
  page: '/services/workshops/place'
};

function follow(answers: (() => Promise<Attended>)[], post?: () => Promise<unknown>) {
  const asked: string[] = [];
  const told: string[] = [];
  const get = ((path: string) => {
    asked.push(path);
    return (answers.length > 1 ? answers.shift()! : answers[0])();
  }) as never;
  const workshop = new Workshop({ get, post: (post ?? jest.fn()) as never }, news => told.push(news), {
    seen: 1000,
    unseen: 5000
  });
  return { asked, told, workshop };
}

const seated =
  (seat: Partial<Seat> = {}) =>
  () =>
    Promise.resolve({ seat: { ...SEAT, ...seat }, rooms: [] });
const nowhere = () => Promise.resolve({ seat: null, rooms: [] });

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

describe('a workshop', () => {
  it('is read often while its panel is seen, seldom while only the page is, and never after', async () => {
    const { asked, workshop } = follow([seated()]);
    workshop.follow(false);
    await jest.advanceTimersByTimeAsync(11_000);
    expect(asked).toHaveLength(3);
    workshop.follow(true);
    await jest.advanceTimersByTimeAsync(3_500);
    expect(asked).toHaveLength(7);
    workshop.follow(false);
    await jest.advanceTimersByTimeAsync(4_000);
    expect(asked).toHaveLength(8);
    workshop.leave();
    await jest.advanceTimersByTimeAsync(20_000);
    expect(asked).toHaveLength(8);
  });

  it('says whether there is anything to show', async () => {
    expect(await follow([seated()]).workshop.read()).toBe(true);
    expect(await follow([nowhere]).workshop.read()).toBe(false);
    const rooms = [{ slug: 'neige' }] as never;
    expect(await follow([() => Promise.resolve({ seat: null, rooms })]).workshop.read()).toBe(true);
    expect(await follow([() => Promise.reject(new Refusal('SetupError', '', ''))]).workshop.read()).toBe(false);
  });

  it('tells what the trainer has said since the last look, once', async () => {
    const more = { messages: [...SEAT.messages, { number: 4, text: 'Pause' }] };
    const pushed = { ...more, pushed: [{ number: 5, source: 'x' }] };
    const { told, workshop } = follow([seated(), seated(more), seated(more), seated(pushed)]);
    await workshop.read();
    expect(told).toEqual([]);
    await workshop.read();
    await workshop.read();
    expect(told).toEqual(['message']);
    await workshop.read();
    expect(told).toEqual(['message', 'pushed']);
  });

  it('stays in sight where the service is away for a while', async () => {
    const away = new Refusal('SetupError', 'away', '');
    const { workshop } = follow([seated(), () => Promise.reject(away), seated()]);
    await workshop.read();
    await workshop.read();
    expect(workshop.attending.get()).toMatchObject({ state: 'refused', refusal: away, seat: { number: 7 } });
    await workshop.read();
    expect(workshop.attending.get().refusal).toBeUndefined();
  });
});

describe('the hand', () => {
  it('is up as soon as the service has it', async () => {
    const { workshop } = follow([seated()], () => Promise.resolve({ hand: 1234 }));
    await workshop.read();
    const raised = workshop.raise(true);
    expect(workshop.attending.get().busy).toBe(true);
    await raised;
    expect(workshop.attending.get()).toMatchObject({ busy: false, seat: { hand: 1234 } });
  });
  it('stays as it is where the service refuses, and says why', async () => {
    const refusal = new Refusal('BadRequest', 'once a second', '');
    const { workshop } = follow([seated()], () => Promise.reject(refusal));
    await workshop.read();
    await workshop.raise(true);
    expect(workshop.attending.get()).toMatchObject({ busy: false, refusal, seat: { hand: null } });
  });
});

describe('the agenda', () => {
  it('has each lesson with its own cells, and the place of those that are unlocked', () => {
    expect(planAgenda(SEAT)).toEqual([
      {
        part: 1,
        unlocked: true,
        lessons: [{ ...SEAT.lessons[0], states: 'ddf', done: 2, place: 'neige/theia/neige.ipynb' }]
      },
      { part: 2, unlocked: false, lessons: [{ ...SEAT.lessons[1], states: '..', done: 0, place: undefined }] }
    ]);
  });
  it('has parts in their order, whatever the order of the lessons', () => {
    const lessons = [
      { path: 'b', part: 2, cells: 1 },
      { path: 'a', part: 1, cells: 1 },
      { path: 'c', part: 2, cells: 1 }
    ];
    const agenda = planAgenda({ ...SEAT, lessons, cells: 'd.f' });
    expect(agenda.map(({ part, lessons: each }) => [part, each.map(({ path, states }) => path + states)])).toEqual([
      [1, ['a.']],
      [2, ['bd', 'cf']]
    ]);
  });
  it('counts cells', () => {
    expect(count('ddf..', 'd')).toBe(2);
    expect(count('', 'd')).toBe(0);
  });
});

import type { Api, Both } from './api';
import { Changing } from './changing';
import { asRefusal, type Refusal } from './refusal';

export interface Lesson {
  readonly path: string;
  readonly part: number;
  readonly cells: number;
}

/** One's own seat: times in seconds since 1970, cells a letter each (`.` not reached, `r`unning, `d`one, `f`ailed). */
export interface Seat {
  readonly slug: string;
  readonly number: number;
  readonly title: Both;
  readonly contact: string;
  readonly stage: string;
  readonly closes: number;
  readonly now: number;
  readonly unlocked: number;
  readonly cells: string;
  readonly lessons: readonly Lesson[];
  readonly error: string;
  readonly hand: number | null;
  readonly messages: readonly { readonly number: number; readonly text: string }[];
  readonly pushed: readonly { readonly number: number; readonly source: string }[];
  readonly help: { readonly number: number; readonly trainer: string } | null;
  readonly page: string;
}

/** A room that one may watch, in counts of seats. */
export interface Room {
  readonly slug: string;
  readonly title: Both;
  readonly closes: number;
  readonly here: number;
  readonly hands: number;
  readonly stuck: number;
  readonly finished: number;
  readonly page: string;
}

export interface Attended {
  readonly seat: Seat | null;
  readonly rooms: readonly Room[];
}

export interface Attending extends Attended {
  readonly state: 'none' | 'there' | 'refused';
  /** While the hand goes up or down. */
  readonly busy: boolean;
  readonly refusal?: Refusal;
}

export type News = 'message' | 'pushed';

/** The workshop that somebody is at: read often while its panel is seen, and now and then while only the page is. */
export class Workshop {
  readonly attending = new Changing<Attending>({ state: 'none', seat: null, rooms: [], busy: false });
  private pause?: number;
  private waiting?: ReturnType<typeof setTimeout>;
  private asking?: AbortController;

  /** @param tell is called at what the trainer has said since the last look; at the first look nothing is news. */
  constructor(
    private readonly api: Pick<Api, 'get' | 'post'>,
    private readonly tell: (news: News) => void = () => undefined,
    private readonly pauses: { readonly seen: number; readonly unseen: number } = { seen: 5000, unseen: 15000 }
  ) {}

  /** Keep reading: often where the panel is seen. */
  follow(seen: boolean): void {
    const pause = seen ? this.pauses.seen : this.pauses.unseen;
    if (this.pause !== pause) {
      const sooner = this.pause === undefined || pause < this.pause;
      this.pause = pause;
      if (sooner) {
        void this.read();
      }
    }
  }

  leave(): void {
    this.pause = undefined;
    clearTimeout(this.waiting);
    this.asking?.abort();
  }

  /** Read once, and again after a pause where it is followed; gives whether there is anything to show. */
  async read(): Promise<boolean> {
    clearTimeout(this.waiting);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    try {
      const said = await this.api.get<Attended>('workshop', asking.signal);
      if (!asking.signal.aborted) {
        this.take(said);
      }
    } catch (reason) {
      if (!asking.signal.aborted) {
        this.set({ state: 'refused', refusal: asRefusal(reason) });
      }
    }
    if (this.pause !== undefined && !asking.signal.aborted) {
      this.waiting = setTimeout(() => void this.read(), this.pause);
    }
    const { seat, rooms } = this.attending.get();
    return seat !== null || rooms.length > 0;
  }

  /** Raise or lower the hand. */
  async raise(up: boolean): Promise<void> {
    if (this.attending.get().busy) {
      return;
    }
    this.set({ busy: true });
    try {
      const { hand } = await this.api.post<{ hand: number | null }>('workshop/hand', { up });
      const { seat } = this.attending.get();
      this.set({ seat: seat && { ...seat, hand }, refusal: undefined });
    } catch (reason) {
      this.set({ refusal: asRefusal(reason) });
    }
    this.set({ busy: false });
  }

  private take(said: Attended): void {
    const before = this.attending.get();
    this.set({ ...said, state: 'there', refusal: undefined });
    if (before.seat !== null && said.seat !== null) {
      if (latest(said.seat.messages) > latest(before.seat.messages)) {
        this.tell('message');
      }
      if (latest(said.seat.pushed) > latest(before.seat.pushed)) {
        this.tell('pushed');
      }
    }
  }

  private set(next: Partial<Attending>): void {
    this.attending.set({ ...this.attending.get(), ...next });
  }
}

/** A lesson with its own cells, and where it is in the home; undefined while it is locked. */
export interface Planned extends Lesson {
  readonly states: string;
  readonly done: number;
  readonly place: string | undefined;
}

/** The agenda: the parts in their order, each with its lessons. */
export function planAgenda(
  seat: Seat
): readonly { readonly part: number; readonly unlocked: boolean; readonly lessons: readonly Planned[] }[] {
  const parts = new Map<number, Planned[]>();
  let from = 0;
  for (const lesson of seat.lessons) {
    const states = seat.cells.slice(from, (from += lesson.cells));
    const place = lesson.part <= seat.unlocked ? `${seat.slug}/${lesson.path}` : undefined;
    const listed = parts.get(lesson.part) ?? [];
    parts.set(lesson.part, [...listed, { ...lesson, states, done: count(states, 'd'), place }]);
  }
  return [...parts]
    .sort(([a], [b]) => a - b)
    .map(([part, lessons]) => ({ part, unlocked: part <= seat.unlocked, lessons }));
}

/** How many of the cells are so. */
export function count(cells: string, state: 'd' | 'f' | 'r' | '.'): number {
  return [...cells].filter(each => each === state).length;
}

function latest(told: readonly { readonly number: number }[]): number {
  return Math.max(0, ...told.map(each => each.number));
}

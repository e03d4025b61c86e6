import type { Api, Choices, CubeAsked, CubeWords, Plan } from './api';
import { Changing } from './changing';
import { ask, type Question } from './question';
import { asRefusal, type Refusal } from './refusal';
import type { Narrowing, Row } from './rows';

/** What the lab calls its own catalogue among all that are asked. */
export const LAB = 'lab';

export interface Draft {
  readonly asked?: CubeAsked;
  readonly choices?: Choices;
  readonly plan?: Plan;
  readonly state: 'closed' | 'asking' | 'planned' | 'refused';
  readonly refusal?: Refusal;
}

/** What a cube would be, while its words are chosen. */
export class Planning {
  readonly draft = new Changing<Draft>({ state: 'closed' });
  private asking?: AbortController;
  private waiting?: ReturnType<typeof setTimeout>;

  constructor(
    private readonly api: Pick<Api, 'choices' | 'plan' | 'cell'>,
    private readonly patience = 200
  ) {}

  /** Begin with an answer, and the words at their defaults. */
  open(question: Question, catalogue?: string): void {
    this.want({ question, cube: {}, ...(catalogue === undefined ? {} : { catalogue }) }, 0);
  }

  /** Choose some words anew. */
  choose(words: Partial<CubeWords>): void {
    const asked = this.draft.get().asked;
    if (asked !== undefined) {
      this.want({ ...asked, cube: { ...asked.cube, ...words } }, this.patience);
    }
  }

  close(): void {
    this.stop();
    this.draft.set({ state: 'closed' });
  }

  private want(asked: CubeAsked, patience: number): void {
    this.stop();
    const before = this.draft.get();
    const same = before.asked?.question === asked.question && before.asked?.catalogue === asked.catalogue;
    this.draft.set({ ...(same ? before : {}), asked, state: 'asking', refusal: undefined });
    this.waiting = setTimeout(() => void this.run(asked), patience);
  }

  private stop(): void {
    clearTimeout(this.waiting);
    this.asking?.abort();
  }

  private async run(asked: CubeAsked): Promise<void> {
    const asking = (this.asking = new AbortController());
    const tell = (next: Partial<Draft>) => {
      if (!asking.signal.aborted) {
        this.draft.set({ ...this.draft.get(), ...next });
      }
    };
    try {
      if (this.draft.get().choices === undefined) {
        tell({ choices: await this.api.choices(asked, asking.signal) });
      }
      tell({ plan: await this.api.plan(asked, asking.signal), state: 'planned' });
    } catch (reason) {
      const refusal = asRefusal(reason);
      tell({ plan: undefined, state: 'refused', refusal });
    }
  }
}

/** A collection at one catalogue, of which a cube can be made. */
export interface Stock {
  readonly collection: string;
  readonly endpoint: string;
  readonly items: number;
  readonly simulated: boolean;
}

/** What cubes can be made of a list: what was observed before what was simulated, and then most items first. */
export function listStocks(rows: readonly Row[]): readonly Stock[] {
  const stocks = new Map<string, Stock>();
  for (const { collection, endpoint, simulated } of rows) {
    const items = (stocks.get(`${endpoint}/${collection}`)?.items ?? 0) + 1;
    stocks.set(`${endpoint}/${collection}`, { collection, endpoint, simulated, items });
  }
  return [...stocks.values()].sort((a, b) => Number(a.simulated) - Number(b.simulated) || b.items - a.items);
}

/** The question of the cube of one collection of a list, and whom it is put to. */
export function cubeOf(
  chosen: Stock,
  question: Question,
  all: readonly Row[],
  listed: readonly Row[],
  narrowing: Narrowing
): [question: Question, catalogue: string | undefined] {
  // What was narrowed goes into the question, so that the cell asks for the same items.
  const words: Partial<Question> = {
    collections: [chosen.collection],
    theme: undefined,
    ...(narrowing.platforms.size > 0 ? { platform: [...narrowing.platforms] } : {}),
    ...(narrowing.instruments.size > 0 ? { instrument: [...narrowing.instruments] } : {}),
    ...(narrowing.maxCloud === undefined ? {} : { max_cloud: narrowing.maxCloud })
  };
  const byName = narrowing.words !== '' && listed.length < all.length;
  const ids = byName ? { ids: listed.filter(row => row.collection === chosen.collection).map(row => row.id) } : {};
  return [ask(question, { ...words, ...ids }), chosen.endpoint === LAB ? undefined : chosen.endpoint];
}

/** Whether a cube, or a thread that computes it, is within what one may have. */
export function judgeMemory(plan: Plan): 'fits' | 'lazily' | 'too-much' | 'unknown' {
  if (plan.limit === null) {
    return 'unknown';
  }
  if (plan.peak > plan.limit) {
    return 'too-much';
  }
  return plan.bytes <= plan.limit / 2 ? 'fits' : 'lazily';
}

import type { Api } from './api';
import { Changing } from './changing';
import { ask, isEmpty, isSame, type Question } from './question';
import { asRefusal, Refusal } from './refusal';
import { type Outcome, type Row, sortRows } from './rows';

export interface Answer {
  readonly question: Question;
  readonly everywhere: boolean;
  readonly state: 'none' | 'asking' | 'done' | 'refused';
  readonly rows: readonly Row[];
  readonly outcomes: readonly Outcome[];
  readonly refusal?: Refusal;
}

const NONE: Answer = { question: {}, everywhere: false, state: 'none', rows: [], outcomes: [] };

/** Milliseconds in which the rows that come are gathered before they are shown: thousands come in hundreds of parts. */
const PACE = 100;

/** Asks what a panel wants to know: the last question alone counts, and what was asked before is let go. */
export class Searching {
  readonly answer = new Changing<Answer>(NONE);
  private asking?: AbortController;
  private waiting?: ReturnType<typeof setTimeout>;

  constructor(
    private readonly api: Pick<Api, 'search'>,
    private readonly patience = 250
  ) {}

  /** Say some words anew; asked when nothing more was said for a moment. */
  say(words: Partial<Question>): void {
    this.want(ask(this.answer.get().question, words), this.answer.get().everywhere);
  }

  /** Take another question as a whole. */
  want(question: Question, everywhere = this.answer.get().everywhere): void {
    const before = this.answer.get();
    if (isSame(before.question, question) && before.everywhere === everywhere && before.state !== 'none') {
      return;
    }
    this.stop();
    if (isEmpty(question)) {
      this.answer.set({ ...NONE, everywhere });
      return;
    }
    this.answer.set({ ...before, question, everywhere, state: 'asking', refusal: undefined });
    this.waiting = setTimeout(() => void this.run(question, everywhere), this.patience);
  }

  /** Ask the same once more. */
  again(): void {
    const { question, everywhere } = this.answer.get();
    this.stop();
    this.answer.set({ ...NONE, question, everywhere, state: 'asking' });
    this.waiting = setTimeout(() => void this.run(question, everywhere), 0);
  }

  /** Say why there is nothing to ask. */
  refuse(refusal: Refusal): void {
    this.stop();
    this.answer.set({ ...NONE, state: 'refused', refusal });
  }

  stop(): void {
    clearTimeout(this.waiting);
    this.asking?.abort();
    this.asking = undefined;
  }

  private async run(question: Question, everywhere: boolean): Promise<void> {
    const asking = (this.asking = new AbortController());
    let found: Answer = { question, everywhere, state: 'asking', rows: [], outcomes: [] };
    const tell = (next: Partial<Answer>) => {
      if (!asking.signal.aborted) {
        found = { ...found, ...next };
        this.answer.set(found);
      }
    };
    const rows: Row[] = [];
    let shown: ReturnType<typeof setTimeout> | undefined;
    try {
      for await (const line of this.api.search(question, everywhere, asking.signal)) {
        if ('rows' in line) {
          rows.push(...line.rows);
          shown ??= setTimeout(() => {
            shown = undefined;
            tell({ rows: [...rows] });
          }, PACE);
        } else if ('outcome' in line) {
          tell({ rows: [...rows], outcomes: [...found.outcomes, line.outcome] });
        } else if ('refused' in line) {
          const { code, message, remedy } = line.refused;
          tell({ state: 'refused', rows: [...rows], refusal: new Refusal(code, message, remedy) });
        } else {
          tell({ state: 'done', rows: sortRows(rows) });
        }
      }
      if (found.state === 'asking') {
        tell({ state: 'refused', rows: [...rows], refusal: new Refusal('Unreachable', '', '') });
      }
    } catch (reason) {
      tell({ state: 'refused', rows: [...rows], refusal: asRefusal(reason) });
    } finally {
      clearTimeout(shown);
    }
  }
}

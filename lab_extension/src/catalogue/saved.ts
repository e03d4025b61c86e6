import type { IStateDB } from '@jupyterlab/statedb';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';
import { Changing } from '../core/changing';
import { parseQuestion, type Question } from '../core/question';

export interface Saved {
  readonly name: string;
  readonly question: Question;
}

const KEY = '@earthlab/lab:saved-searches';
const MOST = 50;

/** The searches that a user has kept, by name, in JupyterLab's own state. */
export class SavedSearches {
  readonly list = new Changing<readonly Saved[]>([]);

  constructor(private readonly state: IStateDB) {
    void state.fetch(KEY).then(found => this.list.set(parseSaved(found)));
  }

  keep(name: string, question: Question): void {
    const others = this.list.get().filter(each => each.name !== name);
    this.write([{ name, question }, ...others].slice(0, MOST));
  }

  forget(name: string): void {
    this.write(this.list.get().filter(each => each.name !== name));
  }

  private write(list: readonly Saved[]): void {
    this.list.set(list);
    void this.state.save(KEY, list as unknown as ReadonlyPartialJSONValue);
  }
}

function parseSaved(found: unknown): readonly Saved[] {
  const list = Array.isArray(found) ? (found as Partial<Saved>[]) : [];
  return list
    .filter(each => typeof each?.name === 'string')
    .map(each => ({ name: String(each.name).slice(0, 100), question: parseQuestion(each.question) }))
    .slice(0, MOST);
}

import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { PartialJSONValue } from '@lumino/coreutils';
import { Changing } from '../core/changing';
import { parseQuestion, type Question } from '../core/question';

export interface Saved {
  readonly name: string;
  readonly question: Question;
}

const SEARCHES = 'searches';
const MOST = 50;

/** The searches that a user has kept, by name, among JupyterLab's settings: a workspace may be reset. */
export class SavedSearches {
  readonly list = new Changing<readonly Saved[]>([]);
  private settings?: ISettingRegistry.ISettings;

  constructor(registry: ISettingRegistry, plugin: string) {
    void registry.load(plugin).then(settings => {
      this.settings = settings;
      const read = () => this.list.set(parseSaved(settings.composite[SEARCHES]));
      settings.changed.connect(read);
      read();
    });
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
    void this.settings?.set(SEARCHES, list as unknown as PartialJSONValue);
  }
}

function parseSaved(found: unknown): readonly Saved[] {
  const list = Array.isArray(found) ? (found as Partial<Saved>[]) : [];
  return list
    .filter(each => typeof each?.name === 'string')
    .map(each => ({ name: String(each.name).slice(0, 100), question: parseQuestion(each.question) }))
    .slice(0, MOST);
}

import type { Api, Both, Language } from './api';
import { Changing } from './changing';
import { asRefusal, type Refusal } from './refusal';
import { fold } from './rows';
import { pick } from './words';

export type Level = 'début' | 'intermédiaire' | 'avancé';

export const LEVELS: readonly Level[] = ['début', 'intermédiaire', 'avancé'];

/** A notebook of the lab, as a card shows it. */
export interface Card {
  readonly id: string;
  readonly pole: string;
  readonly pole_title: Both;
  readonly title: Both;
  readonly question: Both;
  readonly summary: Both;
  readonly level: Level | null;
  readonly minutes: number;
  readonly languages: readonly string[];
  readonly picture: boolean;
}

/** What narrows the gallery; nothing by default. */
export interface Wanted {
  readonly pole?: string;
  readonly level?: Level;
  readonly words: string;
}

export interface Shown {
  readonly state: 'none' | 'asking' | 'there' | 'refused';
  readonly cards: readonly Card[];
  readonly wanted: Wanted;
  /** Of which a copy is being made. */
  readonly copying?: string;
  readonly refusal?: Refusal;
}

/** The gallery of notebooks, and what is wanted of it. */
export class Gallery {
  readonly shown = new Changing<Shown>({ state: 'none', cards: [], wanted: { words: '' } });

  constructor(private readonly api: Pick<Api, 'get' | 'post'>) {}

  /** Read what there is; what is there already is kept where it cannot be read again. */
  async read(): Promise<void> {
    this.tell({ state: 'asking', refusal: undefined });
    try {
      this.tell({ state: 'there', cards: await this.api.get<readonly Card[]>('gallery') });
    } catch (reason) {
      this.tell({ state: 'refused', refusal: asRefusal(reason) });
    }
  }

  want(words: Partial<Wanted>): void {
    this.tell({ wanted: { ...this.shown.get().wanted, ...words } });
  }

  /** Have a working copy made; gives its path, or undefined where that was refused or another is being made. */
  async copy(id: string): Promise<string | undefined> {
    if (this.shown.get().copying !== undefined) {
      return undefined;
    }
    this.tell({ copying: id, refusal: undefined });
    try {
      return (await this.api.post<{ path: string }>('gallery/copy', { id })).path;
    } catch (reason) {
      this.tell({ refusal: asRefusal(reason) });
      return undefined;
    } finally {
      this.tell({ copying: undefined });
    }
  }

  private tell(next: Partial<Shown>): void {
    this.shown.set({ ...this.shown.get(), ...next });
  }
}

/** Those of the cards that are wanted: each word is looked for in all that a card says, whatever its case and accents. */
export function keepCards(cards: readonly Card[], wanted: Wanted, language: Language): readonly Card[] {
  const words = fold(wanted.words).split(/\s+/).filter(Boolean);
  return cards.filter(card => {
    const said = [card.pole_title, card.title, card.question, card.summary].map(both => pick(both, language));
    const text = fold([card.id, ...said].join(' '));
    return (
      (wanted.pole === undefined || card.pole === wanted.pole) &&
      (wanted.level === undefined || card.level === wanted.level) &&
      words.every(word => text.includes(word))
    );
  });
}

/** The poles of the cards, each once, in their order. */
export function polesOf(cards: readonly Card[]): readonly { readonly id: string; readonly title: Both }[] {
  return [...new Map(cards.map(card => [card.pole, { id: card.pole, title: card.pole_title }])).values()];
}

/** What a pole is called for short: its title up to the dash. */
export function shortTitle(title: string): string {
  return title.split(' – ')[0].trim();
}

/** What stands in place of a picture: the pole's capitals, or its first letters. */
export function initials(title: string): string {
  const short = shortTitle(title);
  const capitals = short.replace(/[^\p{Lu}]/gu, '');
  return (capitals.length > 1 ? capitals : short.replace(/[^\p{L}]/gu, '').toUpperCase()).slice(0, 3);
}

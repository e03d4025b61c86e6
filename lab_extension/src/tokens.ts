import { Token } from '@lumino/coreutils';
import type { Api, Vocabulary } from './core/api';
import type { Box } from './core/question';
import type { Row } from './core/rows';
import type { Say } from './core/words';

/** What all panels share: the routes, the words in the user's language, and what there is to choose from. */
export interface IEarthlab {
  readonly api: Api;
  readonly say: Say;
  /** Read once, at the first call. */
  vocabulary(): Promise<Vocabulary>;
}

export const IEarthlab = new Token<IEarthlab>('@earthlab/lab:IEarthlab', 'What the panels of EarthLab share.');

/** The map, for who wants something shown or drawn on it. */
export interface ILabMap {
  /** Show where these items lie, in place of those shown before. */
  showRows(rows: readonly Row[]): void;
  /** Mark one of them, by collection and id; none without. */
  mark(row?: Row): void;
  /** Open the map and let the user draw a box; undefined where they gave it up. */
  drawBox(): Promise<Box | undefined>;
}

export const ILabMap = new Token<ILabMap>('@earthlab/lab:ILabMap', 'The map of EarthLab.');

import type { Both } from './api';
import type { Box } from './question';

/** A plane that the map can be drawn on. */
export interface Projection {
  readonly code: string;
  readonly title: Both;
  /** What proj4 is told; none for what OpenLayers knows by itself. */
  readonly definition?: string;
  /** Where it is meant to be used, in degrees. */
  readonly area: Box;
}

const both = (title: string): Both => ({ fr: title, en: title });
const utm = (zone: string) => `+proj=utm +zone=${zone} +ellps=GRS80 +towgs84=0,0,0,0,0,0,0 +units=m +no_defs`;

/** Those that French users need: the web's own, degrees, Lambert-93, and the zones of the overseas departments. */
export const PROJECTIONS: readonly Projection[] = [
  { code: 'EPSG:3857', title: both('Web Mercator'), area: [-180, -85, 180, 85] },
  { code: 'EPSG:4326', title: { fr: 'Degrés (WGS 84)', en: 'Degrees (WGS 84)' }, area: [-180, -90, 180, 90] },
  {
    code: 'EPSG:2154',
    title: { fr: 'Lambert-93 (France)', en: 'Lambert-93 (France)' },
    definition:
      '+proj=lcc +lat_0=46.5 +lon_0=3 +lat_1=49 +lat_2=44 +x_0=700000 +y_0=6600000 ' +
      '+ellps=GRS80 +towgs84=0,0,0,0,0,0,0 +units=m +no_defs',
    area: [-15, 36, 20, 58]
  },
  {
    code: 'EPSG:5490',
    title: { fr: 'UTM 20 Nord (Antilles)', en: 'UTM 20 North (West Indies)' },
    definition: utm('20'),
    area: [-69, 9, -57, 22]
  },
  {
    code: 'EPSG:2972',
    title: { fr: 'UTM 22 Nord (Guyane)', en: 'UTM 22 North (French Guiana)' },
    definition: utm('22'),
    area: [-59, -3, -45, 10]
  },
  {
    code: 'EPSG:2975',
    title: { fr: 'UTM 40 Sud (La Réunion)', en: 'UTM 40 South (Réunion)' },
    definition: utm('40 +south'),
    area: [49, -28, 63, -13]
  },
  {
    code: 'EPSG:4471',
    title: { fr: 'UTM 38 Sud (Mayotte)', en: 'UTM 38 South (Mayotte)' },
    definition: utm('38 +south'),
    area: [38, -20, 52, -6]
  }
];

export function findProjection(code: string): Projection {
  return PROJECTIONS.find(each => each.code === code) ?? PROJECTIONS[0];
}

/** Whether one draws the whole world. */
export function isGlobal(projection: Projection): boolean {
  return projection.area[2] - projection.area[0] === 360;
}

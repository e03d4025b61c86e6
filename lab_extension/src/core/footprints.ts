import type { Box } from './question';
import type { Row } from './rows';

/** Longitude and latitude. */
export type Corner = readonly [number, number];

/** A closed line: its last corner is its first. */
export type Ring = readonly Corner[];

/** Where an item lies: one ring, two where its box crosses the date line, none where nobody says. */
export function outlineOf(row: Row): readonly Ring[] {
  if (row.ring !== null && row.ring.length > 3 && !jumps(row.ring)) {
    return [row.ring];
  }
  return row.bbox === null ? [] : ringsOf(row.bbox);
}

/** The outline of a box, in two parts where it crosses the date line. */
export function ringsOf([west, south, east, north]: Box): readonly Ring[] {
  return west <= east
    ? [frame(west, south, east, north)]
    : [frame(west, south, 180, north), frame(-180, south, east, north)];
}

/** The items over a place, in their order, at most so many. */
export function findRows(
  rows: readonly Row[],
  outlines: readonly (readonly Ring[])[],
  place: Corner,
  most: number
): readonly Row[] {
  const found: Row[] = [];
  for (let at = 0; at < rows.length && found.length < most; at++) {
    if (outlines[at].some(ring => holds(ring, place))) {
      found.push(rows[at]);
    }
  }
  return found;
}

/** Whether a place is within a ring, by how often a line to the east of it crosses the outline. */
export function holds(ring: Ring, [x, y]: Corner): boolean {
  let within = false;
  for (let at = 1; at < ring.length; at++) {
    const [x0, y0] = ring[at - 1];
    const [x1, y1] = ring[at];
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) {
      within = !within;
    }
  }
  return within;
}

/** The box around all outlines; undefined where there are none. */
export function boxAround(outlines: readonly (readonly Ring[])[]): Box | undefined {
  let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const rings of outlines) {
    for (const ring of rings) {
      for (const [x, y] of ring) {
        [west, east] = [Math.min(west, x), Math.max(east, x)];
        [south, north] = [Math.min(south, y), Math.max(north, y)];
      }
    }
  }
  return west <= east ? [west, south, east, north] : undefined;
}

/** A box as it was drawn, perhaps over the date line or beyond a pole, as questions have it. */
export function normBox([west, south, east, north]: Box): Box {
  const [low, high] = [Math.max(-90, south), Math.min(90, north)];
  return east - west >= 360 ? [-180, low, 180, high] : [wrap(west), low, wrap(east), high];
}

/** A longitude between −180 and 180. */
export function wrap(longitude: number): number {
  return Math.abs(longitude) <= 180 ? longitude : ((((longitude + 180) % 360) + 360) % 360) - 180;
}

function frame(west: number, south: number, east: number, north: number): Ring {
  return [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south]
  ];
}

function jumps(ring: Ring): boolean {
  return ring.some((corner, at) => at > 0 && Math.abs(corner[0] - ring[at - 1][0]) > 180);
}

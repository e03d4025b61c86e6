import type { Box } from './question';

/** The four sides as they were typed. */
export type Sides = readonly [string, string, string, string];

export type BoxFault = 'number' | 'longitude' | 'latitude' | 'order';

/** The box of four typed numbers, or why there is none; a decimal comma counts as a point. */
export function parseBox(sides: Sides): Box | BoxFault {
  const numbers = sides.map(side => (side.trim() === '' ? NaN : Number(side.trim().replace(',', '.'))));
  if (!numbers.every(Number.isFinite)) {
    return 'number';
  }
  const [west, south, east, north] = numbers;
  if (Math.abs(west) > 180 || Math.abs(east) > 180 || west === east) {
    return 'longitude';
  }
  if (Math.abs(south) > 90 || Math.abs(north) > 90) {
    return 'latitude';
  }
  return south < north ? [west, south, east, north] : 'order';
}

/** The sides of a box as people read them: a hundred-thousandth of a degree is a metre. */
export function renderSides(box: Box): Sides {
  return box.map(side => String(Math.round(side * 1e5) / 1e5)) as unknown as Sides;
}

import type { Corner, Ring } from './footprints';
import type { Box } from './question';

/** What of TopoJSON the shipped world needs. */
export interface Topology {
  readonly transform: { readonly scale: Corner; readonly translate: Corner };
  readonly arcs: readonly (readonly Corner[])[];
  readonly objects: { readonly countries: { readonly geometries: readonly Shape[] } };
}

type Shape =
  | { readonly type: 'Polygon'; readonly arcs: readonly (readonly number[])[] }
  | { readonly type: 'MultiPolygon'; readonly arcs: readonly (readonly (readonly number[])[])[] };

/** The polygons of all countries: of each the outer ring, then its holes. */
export function decodeWorld(world: Topology): readonly (readonly Ring[])[] {
  const lines = world.arcs.map(arc => decodeArc(arc, world.transform));
  const join = (numbers: readonly number[]): Ring =>
    numbers.flatMap((number, at) => {
      const line = number < 0 ? [...lines[~number]].reverse() : lines[number];
      return at === 0 ? line : line.slice(1);
    });
  return world.objects.countries.geometries.flatMap(shape =>
    (shape.type === 'Polygon' ? [shape.arcs] : shape.arcs).flatMap(rings => cutAtDateLine(rings.map(join)))
  );
}

/** The parts of polygons within a box, each ring cut along its sides; what lies outside is left out. */
export function clipPolygons(polygons: readonly (readonly Ring[])[], box: Box): readonly (readonly Ring[])[] {
  return polygons
    .map(rings => rings.map(ring => clipRing(ring, box)).filter(ring => ring.length > 3))
    .filter(rings => rings.length > 0);
}

/** A polygon in parts that lie between −180 and 180 degrees; the atlas goes on over the date line, and round the pole. */
function cutAtDateLine(rings: readonly Ring[]): readonly (readonly Ring[])[] {
  // Round the pole the atlas draws a ring without an area.
  const unrolled = rings.filter(ring => ring.some(([, y]) => y !== ring[0][1])).map(unroll);
  const [west, east] = [Math.min(...unrolled[0].map(([x]) => x)), Math.max(...unrolled[0].map(([x]) => x))];
  const turns = [-360, 0, 360].filter(turn => west < turn + 180 && east > turn - 180);
  return turns.length === 1
    ? [unrolled]
    : turns.flatMap(turn =>
        clipPolygons([unrolled], [turn - 180, -90, turn + 180, 90]).map(parts =>
          parts.map(ring => ring.map(([x, y]): Corner => [x - turn, y]))
        )
      );
}

/** A ring without jumps over the date line; one that goes round the pole is led along it. */
function unroll(ring: Ring): Ring {
  let turn = 0;
  const corners = ring.map(([x, y], at): Corner => {
    const step = at === 0 ? 0 : x - ring[at - 1][0];
    turn -= Math.abs(step) > 180 ? Math.sign(step) * 360 : 0;
    return [x + turn, y];
  });
  const [first, last] = [corners[0], corners[corners.length - 1]];
  const pole = Math.sign(first[1]) * 90;
  return turn === 0 ? corners : [...corners, [last[0], pole], [first[0], pole], first];
}

function decodeArc(arc: readonly Corner[], transform: Topology['transform']): Corner[] {
  let [x, y] = [0, 0];
  return arc.map(([dx, dy]) => {
    [x, y] = [x + dx, y + dy];
    return [x * transform.scale[0] + transform.translate[0], y * transform.scale[1] + transform.translate[1]];
  });
}

/** Sutherland and Hodgman: cut by one side after the other. */
function clipRing(ring: Ring, [west, south, east, north]: Box): Ring {
  const sides: readonly (readonly [axis: 0 | 1, limit: number, sign: 1 | -1])[] = [
    [0, west, 1],
    [0, east, -1],
    [1, south, 1],
    [1, north, -1]
  ];
  return sides.reduce((cut, side) => cutRing(cut, ...side), ring);
}

function cutRing(ring: Ring, axis: 0 | 1, limit: number, sign: 1 | -1): Ring {
  const kept: Corner[] = [];
  ring.slice(1).forEach((to, at) => {
    const from = ring[at];
    const [inside, stays] = [sign * (from[axis] - limit) >= 0, sign * (to[axis] - limit) >= 0];
    if (inside !== stays) {
      const share = (limit - from[axis]) / (to[axis] - from[axis]);
      kept.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
    }
    if (stays) {
      kept.push(to);
    }
  });
  return kept.length > 0 ? [...kept, kept[0]] : [];
}

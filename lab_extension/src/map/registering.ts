import { register } from 'ol/proj/proj4';
import transform from 'proj4/lib/core';
import define from 'proj4/lib/defs';
import Proj from 'proj4/lib/Proj';
import lcc from 'proj4/lib/projections/lcc';
import stere from 'proj4/lib/projections/stere';
import utm from 'proj4/lib/projections/utm';
import type { Projection } from '../core/projections';

/** Tell OpenLayers of projections. Of proj4's thirty kinds only what these need is loaded. */
export function registerProjections(projections: readonly Projection[]): void {
  // proj4 itself names two polar ones, which are stereographic: OpenLayers asks for all that it names.
  [lcc, utm, stere].forEach(kind => Proj.projections.add(kind));
  projections.forEach(each => define(each.code, each.definition ?? ''));
  register(Object.assign(transform, { defs: define }) as unknown as Parameters<typeof register>[0]);
}

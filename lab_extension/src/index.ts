import { catalogue } from './catalogue/plugin';
import { clusters } from './clusters/plugin';
import { gallery } from './gallery/plugin';
import { map } from './map/plugin';
import { earthlab } from './shell/earthlab';
import { workshop } from './workshop/plugin';

export default [earthlab, catalogue, clusters, workshop, gallery, map];

import { catalogue } from './catalogue/plugin';
import { gallery } from './gallery/plugin';
import { earthlab } from './shell/earthlab';

export default [earthlab, catalogue, gallery];

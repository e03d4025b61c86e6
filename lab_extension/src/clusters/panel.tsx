import { LabIcon } from '@jupyterlab/ui-components';
import type { Cluster, Clusters } from '../core/clusters';
import { SeenWidget } from '../shell/seenWidget';
import type { IEarthlab } from '../tokens';
import { ClustersView } from './view';

export const clustersIcon = new LabIcon({
  name: 'earthlab:clusters',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161">
<rect x="9" y="2" width="6" height="6" rx="1"/><rect x="2" y="16" width="6" height="6" rx="1"/>
<rect x="9" y="16" width="6" height="6" rx="1"/><rect x="16" y="16" width="6" height="6" rx="1"/>
<path d="M11 8h2v3h7v5h-2v-3H13v3h-2v-3H6v3H4v-5h7z"/></g></svg>`
});

export interface ClustersParts {
  readonly shared: IEarthlab;
  readonly clusters: Clusters;
  /** Write the cell that computes on a cluster. */
  readonly insert: (cluster: Cluster) => void;
  /** Show what a cluster does in a tab of its own. */
  readonly openDashboard: (cluster: Cluster) => void;
}

/** The clusters at the left of JupyterLab; read only while they are seen. */
export class ClustersPanel extends SeenWidget {
  constructor(private readonly parts: ClustersParts) {
    const { clusters, shared } = parts;
    super(
      () => clusters.look(),
      () => clusters.leave()
    );
    this.id = 'earthlab-clusters';
    this.title.icon = clustersIcon;
    this.title.caption = `EarthLab · ${shared.say('clusters')}`;
    this.addClass('el-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', `EarthLab · ${shared.say('clusters')}`);
  }

  protected override render(): JSX.Element {
    return <ClustersView {...this.parts} />;
  }
}

import type { Message } from '@lumino/messaging';
import type { Cluster, Clusters } from '../core/clusters';
import { plotLine, roundUp, type Sample } from '../core/dashboard';
import { sayBytes, sayDuration, sayNumber, type Word } from '../core/words';
import { Refused } from '../shell/refused';
import { useChanging } from '../shell/useChanging';
import { SeenWidget } from '../shell/seenWidget';
import type { IEarthlab } from '../tokens';
import { clustersIcon } from './panel';
import { Facts, TaskRows, WorkerTable } from './view';

const SIZE = [320, 90] as const;

/** One cluster in the middle of JupyterLab, in its own numbers over the last minutes. */
export class ClusterDashboard extends SeenWidget {
  constructor(
    private readonly shared: IEarthlab,
    private readonly clusters: Clusters,
    private readonly name: string,
    label: string
  ) {
    super(
      () => clusters.look(),
      () => clusters.leave()
    );
    const title = shared.say('dashboardOf', { label });
    this.id = `earthlab-dashboard-${name}`;
    this.title.icon = clustersIcon;
    this.title.label = shared.say('clusterTitle', { label });
    this.title.caption = title;
    this.title.closable = true;
    this.addClass('el-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', `EarthLab · ${title}`);
  }

  protected override render(): JSX.Element {
    return <DashboardView shared={this.shared} clusters={this.clusters} name={this.name} />;
  }

  protected override onCloseRequest(message: Message): void {
    super.onCloseRequest(message);
    this.dispose();
  }
}

function DashboardView(props: { shared: IEarthlab; clusters: Clusters; name: string }): JSX.Element {
  const { shared, clusters, name } = props;
  const { say } = shared;
  const panel = useChanging(clusters.panel);
  const cluster = panel.clusters?.find(each => each.name === name);
  return (
    <div className="el-Dashboard">
      <h1>{say('dashboardOf', { label: cluster?.label ?? name.slice(0, 8) })}</h1>
      {panel.refusal && <Refused refusal={panel.refusal} say={say} again={() => void clusters.read()} />}
      <p role="status">
        {panel.state === 'none' && say('clustersReading')}
        {panel.state === 'there' && cluster === undefined && say('dashboardGone')}
        {cluster !== undefined && cluster.seen === null && say('clusterSilent')}
      </p>
      {cluster && <Told cluster={cluster} samples={panel.history?.get(name) ?? []} shared={shared} />}
    </div>
  );
}

function Told(props: { cluster: Cluster; samples: readonly Sample[]; shared: IEarthlab }): JSX.Element | null {
  const { cluster, samples, shared } = props;
  const { say } = shared;
  const { language } = shared.api;
  const { seen } = cluster;
  if (seen === null) {
    return null;
  }
  const threads = seen.workers.reduce((sum, each) => sum + each.threads, 0);
  const percent = (value: number) => `${sayNumber(Math.round(value), language)} %`;
  const bytes = (value: number) => sayBytes(value, language);
  const number = (value: number) => sayNumber(value, language);
  const busiest = Math.max(1, ...samples.map(each => each.running));
  const line = { samples, shared };
  return (
    <>
      <Facts seen={seen} wanted={cluster.wanted} shared={shared} />
      <div className="el-Lines">
        <Line {...line} name="dashboardCpu" value={each => each.cpu} most={100 * Math.max(1, threads)} told={percent} />
        <Line {...line} name="clusterMemory" value={each => each.memory} most={seen.limit || 1} told={bytes} />
        <Line {...line} name="dashboardTasks" value={each => each.running} most={roundUp(busiest)} told={number} />
      </div>
      <h2>{say('clusterTasks')}</h2>
      {seen.tasks.length === 0 ? <p>{say('clusterNoTasks')}</p> : <TaskRows seen={seen} shared={shared} />}
      <h2>{say('clusterWorkers')}</h2>
      <WorkerTable seen={seen} shared={shared} />
    </>
  );
}

/** A value over the last minutes, up to the most that there can be. */
function Line(props: {
  name: Word;
  samples: readonly Sample[];
  value: (sample: Sample) => number;
  most: number;
  told: (value: number) => string;
  shared: IEarthlab;
}): JSX.Element {
  const { name, samples, value, most, told, shared } = props;
  const { say } = shared;
  const now = samples.length > 0 ? value(samples[samples.length - 1]) : 0;
  const span = samples.length > 0 ? samples[samples.length - 1].at - samples[0].at : 0;
  const time = sayDuration(Math.max(1, Math.round(span)), shared.api.language);
  const peak = Math.max(0, ...samples.map(value));
  return (
    <figure className="el-Curve">
      <figcaption>
        {say(name)} <strong>{told(now)}</strong>
      </figcaption>
      <svg
        role="img"
        aria-label={say('dashboardLine', { name: say(name), now: told(now), most: told(peak), time })}
        viewBox={`0 0 ${SIZE[0]} ${SIZE[1]}`}
        preserveAspectRatio="none"
      >
        <polyline points={plotLine(samples, value, most, SIZE)} />
      </svg>
      <p className="el-Small el-Axis" aria-hidden="true">
        <span>{say('dashboardAgo', { time })}</span>
        <span>0 – {told(most)}</span>
        <span>{say('dashboardNow')}</span>
      </p>
    </figure>
  );
}

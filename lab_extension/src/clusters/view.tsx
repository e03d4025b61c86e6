import { useId, useState } from 'react';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import { Refused } from '../shell/refused';
import { type Cluster, type Panel, parseWorkers, type Seen, type Status, sumTasks } from '../core/clusters';
import { sayBytes, sayDuration, sayNumber, type Word } from '../core/words';
import { useChanging } from '../shell/useChanging';
import type { IEarthlab } from '../tokens';
import type { ClustersParts } from './panel';

const STATUS: Record<Status, Word> = {
  PENDING: 'clusterPending',
  RUNNING: 'clusterRunning',
  STOPPING: 'clusterStopping',
  STOPPED: 'clusterStopped',
  FAILED: 'clusterFailed',
  AWAY: 'clusterAway'
};

/** All clusters, and what may be done with them. */
export function ClustersView(parts: ClustersParts): JSX.Element {
  const { shared, clusters } = parts;
  const { say } = shared;
  const panel = useChanging(clusters.panel);
  const listed = panel.clusters ?? [];
  return (
    <div className="el-Clusters">
      <h2>{say('clusters')}</h2>
      <p className="el-Small">{say('clustersIntro')}</p>
      {panel.refusal && <Refused refusal={panel.refusal} say={say} again={() => void clusters.read()} />}
      {panel.denied && <Refused refusal={panel.denied} say={say} />}
      <p role="status">{statusOf(panel, say)}</p>
      {listed.map(cluster => (
        <ClusterView key={cluster.name || cluster.label} cluster={cluster} panel={panel} {...parts} />
      ))}
      {panel.state === 'there' && <Starting panel={panel} {...parts} />}
    </div>
  );
}

function statusOf(panel: Panel, say: IEarthlab['say']): string {
  if (panel.doing === 'start') {
    return say('clustersStarting');
  }
  if (panel.state === 'none') {
    return say('clustersReading');
  }
  return panel.state === 'there' && panel.clusters?.length === 0 ? say('clustersNone') : '';
}

function Starting({ panel, shared, clusters }: ClustersParts & { panel: Panel }): JSX.Element {
  const { say } = shared;
  const own = (panel.clusters ?? []).filter(each => !each.shared).length;
  const { free_workers: free, max_workers: most, max_clusters: clustersAtMost, room } = panel;
  const full = typeof clustersAtMost === 'number' && own >= clustersAtMost;
  return (
    <div className="el-Starting">
      <button
        className="jp-Button jp-mod-styled jp-mod-accept"
        disabled={panel.doing !== undefined || full || room === 0}
        onClick={() => void clusters.start()}
      >
        {say('clustersStart')}
      </button>
      {typeof free === 'number' && typeof most === 'number' && (
        <p className="el-Small">
          {say('clustersFree', { free, most })}{' '}
          {typeof room === 'number' && room < free ? say('clustersRoom', { room }) : ''}
        </p>
      )}
      <p className="el-Small">{say('clustersWithout')}</p>
    </div>
  );
}

function ClusterView(props: ClustersParts & { cluster: Cluster; panel: Panel }): JSX.Element {
  const { cluster, panel, shared, clusters, insert, openDashboard } = props;
  const { say } = shared;
  const { label } = cluster;
  const busy = panel.doing !== undefined;
  const id = useId();
  const stop = async () => {
    const answer = await showDialog({
      title: say('clusterStopOf', { label }),
      body: say('clusterStopSure', { label }),
      defaultButton: 0,
      buttons: [
        Dialog.cancelButton({ label: say('cancel') }),
        Dialog.warnButton({ label: say('clusterStop'), ariaLabel: say('clusterStopOf', { label }) })
      ]
    });
    if (answer.button.accept) {
      await clusters.stop(cluster.name);
    }
  };
  const running = cluster.status === 'RUNNING';
  return (
    <section className="el-Cluster" aria-labelledby={id} aria-busy={panel.doing === cluster.name}>
      <h3 id={id}>{say('clusterTitle', { label })}</h3>
      <p>
        <span className={`el-Status el-mod-${cluster.status}`} aria-hidden="true">
          {running ? '●' : '○'}
        </span>{' '}
        {say(STATUS[cluster.status])}
        {cluster.started !== null && `, ${say('clusterSince', { time: clock(cluster.started, shared) })}`}
      </p>
      {cluster.shared && <p className="el-Small">{say('clusterShared')}</p>}
      {cluster.seen && <SeenView seen={cluster.seen} wanted={cluster.wanted} shared={shared} />}
      {running && !cluster.shared && cluster.seen === null && <p className="el-Small">{say('clusterSilent')}</p>}
      {running && (
        <div className="el-Line">
          <button
            className="jp-Button jp-mod-styled"
            aria-label={say('clusterCodeOf', { label })}
            onClick={() => insert(cluster)}
          >
            {say('clusterCode')}
          </button>
          {!cluster.shared && (
            <button
              className="jp-Button jp-mod-styled"
              aria-label={say('dashboardOf', { label })}
              onClick={() => openDashboard(cluster)}
            >
              {say('dashboard')}
            </button>
          )}
          {!cluster.shared && (
            <button
              className="jp-Button jp-mod-styled jp-mod-warn"
              aria-label={say('clusterStopOf', { label })}
              disabled={busy}
              onClick={() => void stop()}
            >
              {say('clusterStop')}
            </button>
          )}
        </div>
      )}
      {running && !cluster.shared && <Resizing {...props} busy={busy} />}
    </section>
  );
}

function SeenView(props: { seen: Seen; wanted: number | null; shared: IEarthlab }): JSX.Element {
  const { seen, shared } = props;
  const { say } = shared;
  return (
    <>
      <Facts {...props} />
      <details>
        <summary>{say('clusterDetails')}</summary>
        <p className="el-Small">{say('clusterNoPages')}</p>
        <TaskRows seen={seen} shared={shared} />
        <WorkerTable seen={seen} shared={shared} />
      </details>
    </>
  );
}

/** Workers, memory and tasks of a cluster in a line each. */
export function Facts(props: { seen: Seen; wanted: number | null; shared: IEarthlab }): JSX.Element {
  const { seen, wanted, shared } = props;
  const { say } = shared;
  const { language } = shared.api;
  const tasks = sumTasks(seen.tasks);
  const number = (value: number) => sayNumber(value, language);
  const told = { done: number(tasks.done), all: number(tasks.all), failed: number(tasks.failed) };
  const workers =
    wanted === null || wanted === seen.count
      ? number(seen.count)
      : say('clusterWorkersOf', { count: number(seen.count), wanted: number(wanted) });
  const memory = say('clusterMemoryOf', {
    used: sayBytes(seen.memory, language),
    limit: sayBytes(seen.limit, language)
  });
  return (
    <>
      <dl className="el-Facts">
        <dt>{say('clusterWorkers')}</dt>
        <dd>{workers}</dd>
        <dt>{say('clusterMemory')}</dt>
        <dd>
          {seen.limit > 0 ? memory : '—'}
          <Bar parts={[seen.memory]} of={seen.limit} />
        </dd>
        <dt>{say('clusterTasks')}</dt>
        <dd>
          {tasks.all === 0
            ? say('clusterNoTasks')
            : say(tasks.failed > 0 ? 'clusterTasksFailed' : 'clusterTasksOf', told)}
          {tasks.all > 0 && <Bar parts={[tasks.done, tasks.running]} of={tasks.all} />}
        </dd>
      </dl>
      {seen.ends_in !== null && (
        <p className="el-Small">{say('clusterEnds', { time: sayDuration(coarse(seen.ends_in), language) })}</p>
      )}
    </>
  );
}

/** How far the tasks of each name are. */
export function TaskRows({ seen, shared }: { seen: Seen; shared: IEarthlab }): JSX.Element | null {
  const { say } = shared;
  const { language } = shared.api;
  return seen.tasks.length === 0 ? null : (
    <ul className="el-TaskRows" aria-label={say('clusterTasks')}>
      {seen.tasks.map(each => {
        const all = sumTasks([each]).all;
        return (
          <li key={each.name}>
            <span className="el-Name">{each.name}</span>{' '}
            <span>
              {sayNumber(each.done, language)} / {sayNumber(all, language)}
            </span>
            <Bar parts={[each.done, each.running]} of={all} />
          </li>
        );
      })}
    </ul>
  );
}

/** What each worker holds and does. */
export function WorkerTable({ seen, shared }: { seen: Seen; shared: IEarthlab }): JSX.Element | null {
  const { say } = shared;
  const { language } = shared.api;
  const hidden = seen.count - seen.workers.length;
  return seen.workers.length === 0 ? null : (
    <>
      <table className="el-Plan">
        <thead>
          <tr>
            <th scope="col">{say('clusterWorker')}</th>
            <th scope="col">{say('clusterMemory')}</th>
            <th scope="col">{say('dashboardCpu')}</th>
            <th scope="col">{say('clusterAtWork')}</th>
          </tr>
        </thead>
        <tbody>
          {seen.workers.map(each => (
            <tr key={each.name}>
              <th scope="row">{each.name.slice(0, 8)}</th>
              <td>
                {sayBytes(each.memory, language)}
                <Bar parts={[each.memory]} of={each.limit} />
              </td>
              <td>{sayNumber(Math.round(each.cpu), language)} %</td>
              <td>
                {sayNumber(each.running, language)} / {sayNumber(each.threads, language)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {hidden > 0 && <p className="el-Small">{say('clusterMore', { count: sayNumber(hidden, language) })}</p>}
    </>
  );
}

/** Shares of a whole, one after the other; what they say stands beside in words. */
function Bar({ parts, of }: { parts: readonly number[]; of: number }): JSX.Element {
  return (
    <span className="el-Bar" aria-hidden="true">
      {parts.map((part, at) => (
        <span key={at} style={{ width: `${of > 0 ? Math.min(100, (100 * part) / of) : 0}%` }} />
      ))}
    </span>
  );
}

function Resizing(props: ClustersParts & { cluster: Cluster; panel: Panel; busy: boolean }): JSX.Element {
  const { cluster, panel, shared, clusters, busy } = props;
  const { say } = shared;
  const most = panel.max_workers ?? undefined;
  const [workers, setWorkers] = useState('');
  const [least, setLeast] = useState('0');
  const [upTo, setUpTo] = useState('');
  const wanted = parseWorkers(workers || String(cluster.wanted ?? ''));
  const [from, to] = [parseWorkers(least), parseWorkers(upTo || String(most ?? ''))];
  const field = (value: string, set: (typed: string) => void, shown: number | undefined, label: string) => (
    <input
      className="jp-mod-styled el-Number"
      type="number"
      min={0}
      max={most}
      step={1}
      aria-label={label}
      value={value}
      placeholder={shown === undefined ? '' : String(shown)}
      onChange={event => set(event.target.value)}
    />
  );
  return (
    <details>
      <summary>{say('clusterResize')}</summary>
      <form
        className="el-Line"
        onSubmit={event => {
          event.preventDefault();
          if (wanted !== undefined) {
            void clusters.scale(cluster.name, wanted);
          }
        }}
      >
        <span aria-hidden="true">{say('clusterScale')}</span>
        {field(workers, setWorkers, cluster.wanted ?? undefined, say('clusterScale'))}
        <button className="jp-Button jp-mod-styled" disabled={busy || wanted === undefined}>
          {say('clusterScaleDo')}
        </button>
      </form>
      <form
        className="el-Line"
        onSubmit={event => {
          event.preventDefault();
          if (from !== undefined && to !== undefined) {
            void clusters.adapt(cluster.name, from, to);
          }
        }}
      >
        <span>{say('clusterAdapt')}</span>
        <label>
          {say('clusterLeast')} {field(least, setLeast, 0, `${say('clusterAdapt')}, ${say('clusterLeast')}`)}
        </label>
        <label>
          {say('clusterMost')} {field(upTo, setUpTo, most, `${say('clusterAdapt')}, ${say('clusterMost')}`)}
        </label>
        <button className="jp-Button jp-mod-styled" disabled={busy || from === undefined || to === undefined}>
          {say('clusterAdaptDo')}
        </button>
      </form>
    </details>
  );
}

function clock(seconds: number, shared: IEarthlab): string {
  return new Intl.DateTimeFormat(shared.api.language, { timeStyle: 'short' }).format(new Date(1000 * seconds));
}

/** Whole minutes, as long as there are several: a number that changes with each look is read by nobody. */
function coarse(seconds: number): number {
  return seconds > 90 ? 60 * Math.round(seconds / 60) : Math.round(seconds);
}

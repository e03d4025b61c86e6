import type { Api } from './api';
import { Changing } from './changing';
import { keepSamples, type History } from './dashboard';
import { asRefusal, type Refusal } from './refusal';

export interface Worker {
  readonly name: string;
  readonly threads: number;
  readonly memory: number;
  readonly limit: number;
  /** Percent of a core. */
  readonly cpu: number;
  readonly running: number;
}

export interface Tasks {
  readonly name: string;
  readonly done: number;
  readonly running: number;
  readonly waiting: number;
  readonly failed: number;
}

/** What a scheduler tells of its cluster; bytes and seconds. */
export interface Seen {
  readonly workers: readonly Worker[];
  readonly count: number;
  readonly memory: number;
  readonly limit: number;
  readonly tasks: readonly Tasks[];
  readonly ends_in: number | null;
}

export type Status = 'PENDING' | 'RUNNING' | 'STOPPING' | 'STOPPED' | 'FAILED' | 'AWAY';

export interface Cluster {
  readonly name: string;
  readonly label: string;
  readonly shared: boolean;
  readonly status: Status;
  readonly started: number | null;
  readonly wanted: number | null;
  readonly seen: Seen | null;
}

interface Told {
  readonly clusters: readonly Cluster[];
  readonly free_workers: number | null;
  readonly max_workers: number | null;
  readonly max_clusters: number | null;
  readonly room: number | null;
}

export interface Panel extends Partial<Told> {
  readonly state: 'none' | 'there' | 'refused';
  /** What is being done: `start`, or the name of the cluster that it is done to. */
  readonly doing?: string;
  /** Why the clusters cannot be read. */
  readonly refusal?: Refusal;
  /** Why what was last done was refused. */
  readonly denied?: Refusal;
  readonly history?: History;
}

/** The clusters of this user, read every few seconds while somebody looks. */
export class Clusters {
  readonly panel = new Changing<Panel>({ state: 'none' });
  private lookers = 0;
  private waiting?: ReturnType<typeof setTimeout>;
  private asking?: AbortController;

  constructor(
    private readonly api: Pick<Api, 'get' | 'post'>,
    private readonly pause = 3000
  ) {}

  /** Read until everybody who looks has left. */
  look(): void {
    this.lookers += 1;
    if (this.lookers === 1) {
      void this.read();
    }
  }

  leave(): void {
    this.lookers -= 1;
    if (this.lookers === 0) {
      clearTimeout(this.waiting);
      this.asking?.abort();
    }
  }

  start(workers?: number): Promise<boolean> {
    return this.act('start', 'clusters', workers === undefined ? {} : { workers });
  }

  scale(name: string, workers: number): Promise<boolean> {
    return this.act(name, 'clusters/scale', { name, workers });
  }

  adapt(name: string, minimum: number, maximum: number): Promise<boolean> {
    return this.act(name, 'clusters/adapt', { name, minimum, maximum });
  }

  stop(name: string): Promise<boolean> {
    return this.act(name, 'clusters/stop', { name });
  }

  /** Read once, and again after a pause where somebody still looks. */
  async read(): Promise<void> {
    clearTimeout(this.waiting);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    try {
      const told = await this.api.get<Told>('clusters', asking.signal);
      if (!asking.signal.aborted) {
        const history = keepSamples(this.panel.get().history ?? new Map(), told.clusters, Date.now() / 1000);
        this.tell({ ...told, history, state: 'there', refusal: undefined });
      }
    } catch (reason) {
      if (!asking.signal.aborted) {
        this.tell({ state: 'refused', refusal: asRefusal(reason) });
      }
    }
    if (this.lookers > 0 && !asking.signal.aborted) {
      this.waiting = setTimeout(() => void this.read(), this.pause);
    }
  }

  private async act(doing: string, path: string, body: unknown): Promise<boolean> {
    if (this.panel.get().doing !== undefined) {
      return false;
    }
    this.tell({ doing, denied: undefined });
    try {
      await this.api.post(path, body);
      return true;
    } catch (reason) {
      this.tell({ denied: asRefusal(reason) });
      return false;
    } finally {
      this.tell({ doing: undefined });
      if (this.lookers > 0) {
        void this.read();
      }
    }
  }

  private tell(next: Partial<Panel>): void {
    this.panel.set({ ...this.panel.get(), ...next });
  }
}

/** The cell that computes on a cluster. */
export function cellOf(cluster: Pick<Cluster, 'name' | 'label' | 'shared'>): string {
  const name = cluster.shared ? cluster.label : cluster.name.slice(0, 12);
  return ['import earthlab as el', '', `with el.cluster(${quote(name)}) as client:`, '    print(client)'].join('\n');
}

/** All tasks of a cluster in one row. */
export function sumTasks(tasks: readonly Tasks[]): Omit<Tasks, 'name'> & { readonly all: number } {
  const sum = (word: 'done' | 'running' | 'waiting' | 'failed') => tasks.reduce((total, each) => total + each[word], 0);
  const [done, running, waiting, failed] = [sum('done'), sum('running'), sum('waiting'), sum('failed')];
  return { done, running, waiting, failed, all: done + running + waiting + failed };
}

/** A whole number of workers out of what was typed; undefined for anything else. */
export function parseWorkers(typed: string): number | undefined {
  return /^\d{1,4}$/.test(typed.trim()) ? Number(typed) : undefined;
}

/** A text of Python that says just this, whatever is in it. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    each => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`
  );
}

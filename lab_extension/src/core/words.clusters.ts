/** What people read in the panel of clusters. */
export const WORDS_CLUSTERS = {
  clusters: ['Grappes', 'Clusters'],
  clustersIntro: [
    'Vos grappes de calcul, aussi celles que vos carnets démarrent.',
    'Your computing clusters, also those that your notebooks start.'
  ],
  clustersReading: ['Lecture des grappes…', 'Reading the clusters…'],
  clustersNone: ['Aucune grappe en marche.', 'No cluster is running.'],
  clustersStart: ['Démarrer une grappe', 'Start a cluster'],
  clustersStarting: ['Démarrage…', 'Starting…'],
  clustersFree: ['Il vous reste {free} workers sur {most}.', 'You have {free} of {most} workers left.'],
  clustersRoom: ['La machine en prend encore {room}.', 'The machine takes {room} more.'],
  clustersWithout: [
    'Une grappe sans carnet s’arrête après une minute : insérez son code.',
    'A cluster without a notebook stops after a minute: insert its code.'
  ],
  clusterTitle: ['Grappe {label}', 'Cluster {label}'],
  clusterShared: [
    'Grappe de l’atelier : visible de tous ceux qui la partagent ; elle garde ses workers et finit avec lui.',
    'The workshop’s cluster: seen by all who share it; it keeps its workers and ends with it.'
  ],
  clusterPending: ['démarre', 'starting'],
  clusterRunning: ['en marche', 'running'],
  clusterStopping: ['s’arrête', 'stopping'],
  clusterStopped: ['arrêtée', 'stopped'],
  clusterFailed: ['en panne', 'failed'],
  clusterAway: ['pas en marche ; le labo la relance', 'not running; the lab is starting it'],
  clusterSince: ['depuis {time}', 'since {time}'],
  clusterWorkers: ['Workers', 'Workers'],
  clusterWorkersOf: ['{count} sur {wanted}', '{count} of {wanted}'],
  clusterMemory: ['Mémoire', 'Memory'],
  clusterMemoryOf: ['{used} sur {limit}', '{used} of {limit}'],
  clusterTasks: ['Tâches', 'Tasks'],
  clusterTasksOf: ['{done} faites sur {all}', '{done} of {all} done'],
  clusterTasksFailed: ['{done} faites sur {all}, {failed} en échec', '{done} of {all} done, {failed} failed'],
  clusterNoTasks: ['aucune', 'none'],
  clusterEnds: ['Sans travail : s’arrête dans {time}.', 'Without work: stops in {time}.'],
  clusterSilent: ['L’ordonnanceur ne répond pas en ce moment.', 'The scheduler does not answer just now.'],
  clusterDetails: ['Workers et tâches en détail', 'Workers and tasks in detail'],
  clusterNoPages: [
    'Les pages de Dask restent fermées ici, car elles ne demandent à personne qui il est ; voici ce que l’ordonnanceur dit.',
    'Dask’s own pages are closed here, since they ask nobody who they are; this is what the scheduler tells.'
  ],
  clusterWorker: ['Worker', 'Worker'],
  clusterAtWork: ['Au travail', 'At work'],
  clusterMore: ['et {count} de plus', 'and {count} more'],
  clusterScale: ['Nombre de workers', 'Number of workers'],
  clusterScaleDo: ['Changer', 'Change'],
  clusterAdapt: ['Selon le travail', 'As work asks for'],
  clusterLeast: ['de', 'from'],
  clusterMost: ['à', 'to'],
  clusterAdaptDo: ['Adapter', 'Adapt'],
  clusterStop: ['Arrêter', 'Stop'],
  clusterStopOf: ['Arrêter la grappe {label}', 'Stop the cluster {label}'],
  clusterStopSure: [
    'Arrêter la grappe {label} ? Ce qu’elle calcule et garde en mémoire est perdu.',
    'Stop the cluster {label}? What it computes and holds in memory is lost.'
  ],
  clusterCode: ['Insérer le code', 'Insert the code'],
  clusterCodeOf: ['Insérer le code de la grappe {label}', 'Insert the code of the cluster {label}'],
  clusterResize: ['Régler les workers', 'Set the workers'],
  dashboard: ['Tableau de bord', 'Dashboard'],
  dashboardOf: ['Tableau de bord de la grappe {label}', 'Dashboard of cluster {label}'],
  dashboardGone: ['Cette grappe n’est plus en marche.', 'This cluster is not running any more.'],
  dashboardCpu: ['Processeur', 'Processor'],
  dashboardTasks: ['Tâches en cours', 'Tasks at work'],
  dashboardAgo: ['il y a {time}', '{time} ago'],
  dashboardNow: ['maintenant', 'now'],
  dashboardLine: [
    '{name} : {now} maintenant, {most} au plus en {time}',
    '{name}: {now} now, {most} at most within {time}'
  ],
  cancel: ['Annuler', 'Cancel'],
  codeInserted: ['Cellule insérée dans {name}.', 'Cell inserted into {name}.'],
  codeCopied: [
    'Aucun carnet ouvert : le code est dans le presse-papiers.',
    'No notebook is open: the code is in the clipboard.'
  ]
} as const satisfies Record<string, readonly [fr: string, en: string]>;

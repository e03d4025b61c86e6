/** What people read in the gallery of notebooks. */
export const WORDS_GALLERY = {
  gallery: ['Carnets', 'Notebooks'],
  galleryOpen: ['Carnets des pôles', 'The poles’ notebooks'],
  galleryIntro: [
    'Choisissez une question : vous recevez une copie à vous, à exécuter et à changer.',
    'Choose a question: you get a copy of your own, to run and to change.'
  ],
  galleryWords: ['Chercher un carnet', 'Search the notebooks'],
  galleryPole: ['Pôle', 'Pole'],
  galleryLevel: ['Niveau', 'Level'],
  galleryCount: ['{count} carnets', '{count} notebooks'],
  galleryOne: ['1 carnet', '1 notebook'],
  galleryNone: ['Aucun carnet. Relâchez un filtre.', 'No notebook. Relax a filter.'],
  galleryLoading: ['Lecture des carnets…', 'Reading the notebooks…'],
  galleryMinutes: ['≈ {minutes} min de lecture', '≈ {minutes} min to read'],
  galleryCopy: ['Ouvrir une copie', 'Open a copy'],
  galleryCopyOf: ['Ouvrir une copie : {title}', 'Open a copy: {title}'],
  galleryCopied: ['Votre copie : {path}', 'Your copy: {path}'],
  galleryLanguage: ['Langue : {name}', 'Language: {name}'],
  levelStart: ['Début', 'Beginner'],
  levelMiddle: ['Intermédiaire', 'Intermediate'],
  levelAdvanced: ['Avancé', 'Advanced']
} as const satisfies Record<string, readonly [fr: string, en: string]>;

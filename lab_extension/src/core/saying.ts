import type { Language } from './api';
import type { Corner } from './footprints';
import { sayDay } from './words';

/** A place as people write it: to a hundred metres or so. */
export function sayPlace([longitude, latitude]: Corner, language: Language): string {
  const number = new Intl.NumberFormat(language, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
  const west = language === 'fr' ? 'O' : 'W';
  return (
    `${number.format(Math.abs(latitude))}° ${latitude < 0 ? 'S' : 'N'}, ` +
    `${number.format(Math.abs(longitude))}° ${longitude < 0 ? west : 'E'}`
  );
}

/** A day, with the time of day where it is not midnight; what is no moment, as it is. */
export function sayMoment(moment: string, language: Language): string {
  if (!/^\d{4}-\d\d/.test(moment)) {
    return moment;
  }
  const clock = /T(\d\d:\d\d)/.exec(moment)?.[1] ?? '00:00';
  return clock === '00:00' ? sayDay(moment, language) : `${sayDay(moment, language)}, ${clock} UTC`;
}

/** A value with as many digits as one reads. */
export function sayValue(value: number, language: Language): string {
  const small = Math.abs(value);
  return small !== 0 && (small < 1e-3 || small >= 1e7)
    ? value.toExponential(2)
    : new Intl.NumberFormat(language, { maximumSignificantDigits: 4 }).format(value);
}

/** A value with its unit; what has none, or is a ratio, goes without. */
export function sayAmount(value: number, unit: string, language: Language): string {
  return unit === '' || unit === '1' ? sayValue(value, language) : `${sayValue(value, language)} ${unit}`;
}

/** The longest round length of at most so many pixels, in pixels and in words. */
export function planScale(
  metres: number,
  most: number,
  language: Language
): { readonly pixels: number; readonly text: string } {
  const longest = metres * most;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].map(each => each * power).find(each => each <= longest) ?? power;
  const number = new Intl.NumberFormat(language);
  const text = length >= 1000 ? `${number.format(length / 1000)} km` : `${number.format(length)} m`;
  return { pixels: length / metres, text };
}

import { useSyncExternalStore } from 'react';
import type { Changing } from '../core/changing';

/** A changing value, drawn anew whenever it changes. */
export function useChanging<T>(changing: Changing<T>): T {
  return useSyncExternalStore(changing.watch, changing.get);
}

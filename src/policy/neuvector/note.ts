/** Where things were written in a NeuVector file, and what is to be said about them. */
import type { Position } from '../document.ts';

export interface Note {
  readonly position: Position;
  readonly text: string;
}

/** A value of a file, with the place of each key and item in it. */
export interface Placed<T> {
  readonly value: T;
  readonly at: (container: object, key: string | number) => Position;
}

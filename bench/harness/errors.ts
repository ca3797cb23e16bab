/** A contestant computed something wrong, or died: its times mean nothing. */
export class WrongResult extends Error {
  override readonly name = "WrongResult";
}

/** Something that a figure needs is not on this machine. */
export class NotHere extends Error {
  override readonly name = "NotHere";
}

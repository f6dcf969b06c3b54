// Times as people read them; Slack's ts is seconds with a counter behind the point.

const date = (ts) => new Date(Number(ts) * 1000);
const two = (n) => String(n).padStart(2, "0");
export const clock = (ts) => `${two(date(ts).getHours())}:${two(date(ts).getMinutes())}`;
export const dayKey = (ts) => date(ts).toDateString();

export function dayName(ts) {
  const today = new Date();
  const yesterday = new Date(today.getTime() - 86400000);
  if (dayKey(ts) === today.toDateString()) return "Today";
  if (dayKey(ts) === yesterday.toDateString()) return "Yesterday";
  return date(ts).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });
}

export const full = (ts) => date(ts).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "medium" });

export function ago(ts) {
  const seconds = Math.max(0, Date.now() / 1000 - Number(ts));
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (dayKey(ts) === new Date().toDateString()) return `today ${clock(ts)}`;
  return `${dayName(ts).toLowerCase()} ${clock(ts)}`;
}

/** <!date^…> formats of Slack's reference: {date}, {date_num}, {date_short}, {date_long}, _pretty, {time}, {time_secs}, {ago}. */
export function format(seconds, template) {
  const d = date(seconds);
  const pretty = (long) => (["Today", "Yesterday"].includes(dayName(seconds)) ? dayName(seconds).toLowerCase() : long);
  const long = d.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
  const short = d.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  const plain = d.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
  const forms = {
    date_num: `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`,
    date: plain, date_long: long, date_short: short, date_pretty: pretty(plain), date_long_pretty: pretty(long),
    date_short_pretty: pretty(short), time: clock(seconds), time_secs: `${clock(seconds)}:${two(d.getSeconds())}`, ago: ago(seconds),
    day_divider_pretty: dayName(seconds),
  };
  return template.replace(/\{(\w+)\}/g, (whole, name) => forms[name] ?? whole);
}

// The order of search results: a chapter whose title is asked for, then whatever is called by the words that were
// asked for, then pages that hold them. Sphinx calls `score` with [page, title, anchor, description, score].
var Scorer = {
  score: ([, title, anchor, description, score]) => {
    const query = (new URLSearchParams(location.search).get("q") || "").toLowerCase().trim();
    const name = title.toLowerCase();
    // Sphinx writes "page > section" where the query stands in the title.
    if (name.includes(" > ")) return score + (anchor ? 25 : 100);
    if (description) {
      // An object: an equation, or a part of the library.
      const named = query.split(/\s+/).every((word) => name.includes(word));
      const exact = score > Scorer.objPrio[0] + Scorer.objPartialMatch ? 15 : 0;
      return named ? 40 + exact + 30 * query.length / Math.max(name.length, query.length) : score;
    }
    // A term of the glossary, which Sphinx gives up to 100 for a full match.
    return anchor ? 30 + 0.4 * score : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
